//! All quotas as one value, and which of them binds whom.

use std::{collections::BTreeMap, sync::Arc};

use weir_access::AccessError;

use super::{
    check::keys_of,
    entity::{Named, QuotaEntity},
    key::{QuotaKey, QuotaValue},
};
use crate::chunked::Chunked;

/// Most entities with quotas.
pub const MAX_QUOTA_ENTITIES: usize = 20_000;

/// What an entity's quotas are.
pub type QuotaValues = BTreeMap<QuotaKey, QuotaValue>;
/// What they are to be; `None`: there is to be none.
pub type QuotaChanges = BTreeMap<QuotaKey, Option<QuotaValue>>;

/// All quotas. A copy shares what did not change.
#[derive(Clone, Debug, Default)]
pub struct QuotaTable {
    generation: u64,
    entities: Chunked<QuotaEntity, Arc<QuotaValues>>,
}

impl QuotaTable {
    pub(super) fn of_generation(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Rises with each change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Entities with quotas.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// There are no quotas.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All quotas, by entity.
    pub fn all(&self) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        let all = self.entities.iter();
        all.map(|(entity, values)| (entity, &**values))
    }

    /// Those of the entities behind this one.
    pub fn all_after(
        &self,
        after: Option<&QuotaEntity>,
    ) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        let first = QuotaEntity::User(Named::Default);
        let from = self.entities.range_from(after.unwrap_or(&first));
        let later = from.skip_while(move |(entity, _)| Some(*entity) == after);
        later.map(|(entity, values)| (entity, &**values))
    }

    /// An entity's own quotas.
    pub fn of(&self, entity: &QuotaEntity) -> Option<&QuotaValues> {
        self.entities.get(entity).map(|values| &**values)
    }

    /// For checkpoints: an entity comes once, and has quotas that it may have.
    pub(super) fn put(&mut self, entity: QuotaEntity, values: QuotaValues) -> bool {
        let keys = keys_of(&entity);
        let is_sound = entity.is_sound()
            && !values.is_empty()
            && values.keys().all(|key| keys.contains(key))
            && self.entities.get(&entity).is_none();
        if is_sound {
            self.entities.insert(entity, Arc::new(values));
        }
        is_sound
    }

    /// Changes an entity's quotas, all that are told or none.
    pub fn alter(
        &mut self,
        entity: QuotaEntity,
        changes: &QuotaChanges,
    ) -> Result<(), AccessError> {
        let keys = keys_of(&entity);
        if !entity.is_sound() || changes.keys().any(|key| !keys.contains(key)) {
            return Err(AccessError::Invalid);
        }
        let before = self.entities.get(&entity);
        let mut values = before.map(|values| (**values).clone()).unwrap_or_default();
        for (key, value) in changes {
            match value {
                Some(value) => values.insert(*key, *value),
                None => values.remove(key),
            };
        }
        let known = before.map_or(&QuotaValues::new(), |values| &**values) == &values;
        if known {
            return Ok(());
        }
        if before.is_none() && self.len() >= MAX_QUOTA_ENTITIES {
            return Err(AccessError::TooManyQuotas);
        }
        match values.is_empty() {
            true => drop(self.entities.remove(&entity)),
            false => self.entities.insert(entity, Arc::new(values)),
        }
        self.generation += 1;
        Ok(())
    }

    /// Whether there are quotas of entities from this one on that are of its kind.
    fn has_kind(&self, first: &QuotaEntity) -> bool {
        let next = self.entities.range_from(first).next();
        next.is_some_and(|(entity, _)| entity.any() == *first)
    }

    /// Whether any topic is bound.
    pub(super) fn has_topics(&self) -> bool {
        self.has_kind(&QuotaEntity::Topic(Named::Default))
    }

    /// How many partitions topics may have whose names begin as this one does: each prefix, `""` for all topics.
    pub(super) fn prefixes_of<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, QuotaValue)> {
        let any = QuotaEntity::TopicPrefix(Named::Default);
        let has_any = self.has_kind(&any);
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        let ends = ends.filter(move |_| has_any);
        ends.filter_map(|end| {
            let prefix = &name[..end];
            let named = Named::of(Some(prefix).filter(|prefix| !prefix.is_empty()));
            let values = self.of(&QuotaEntity::TopicPrefix(named))?;
            Some((prefix, *values.get(&QuotaKey::PartitionCount)?))
        })
    }

    /// What binds this entity and no other kind: its own, or that of all which have none.
    pub(super) fn binding_of(&self, key: QuotaKey, entity: &QuotaEntity) -> Option<QuotaValue> {
        let any = entity.any();
        if !self.has_kind(&any) {
            return None;
        }
        let levels = [entity, &any];
        levels
            .into_iter()
            .find_map(|entity| self.of(entity)?.get(&key).copied())
    }

    /// What binds a user's client: of Kafka's eight levels the first that says anything of `key`, and who share what
    /// it allows.
    pub(super) fn binding(
        &self,
        key: QuotaKey,
        user: &str,
        client: &str,
    ) -> Option<(QuotaValue, QuotaEntity)> {
        if self.is_empty() {
            return None;
        }
        let (user, client) = (Named::of(Some(user)), Named::of(Some(client)));
        let any = Named::Default;
        let both =
            |user: &Named, client: &Named| QuotaEntity::UserClient(user.clone(), client.clone());
        let (this, of_user) = (both(&user, &client), QuotaEntity::User(user.clone()));
        let of_client = QuotaEntity::Client(client.clone());
        let levels = [
            (this.clone(), &this),
            (both(&user, &any), &this),
            (of_user.clone(), &of_user),
            (both(&any, &client), &this),
            (both(&any, &any), &this),
            (QuotaEntity::User(any.clone()), &of_user),
            (of_client.clone(), &of_client),
            (QuotaEntity::Client(any), &of_client),
        ];
        levels.into_iter().find_map(|(entity, sharers)| {
            let value = self.of(&entity)?.get(&key)?;
            Some((*value, sharers.clone()))
        })
    }
}
