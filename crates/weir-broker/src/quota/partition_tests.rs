use weir_log::Millis;
use weir_model::TopicName;

use super::*;
use crate::{
    access::AccessCommand,
    metadata::{
        CreateTopic, MetadataCommand, MetadataOutcome, MetadataState, NodeRecord, NodeState,
        grow::CreatePartitions,
    },
};

#[test]
fn topics_that_begin_alike_have_as_many_partitions_as_they_may_and_not_one_more() {
    let mut state = MetadataState::new();
    let node = NodeRecord {
        id: weir_model::NodeId(1),
        incarnation: 7,
        peer_address: "n:1".to_owned(),
        kafka_host: "n".to_owned(),
        kafka_port: 1,
        rack: None,
        state: NodeState::Active,
    };
    apply(&mut state, MetadataCommand::RegisterNode(node));
    let limit = |prefix: Option<&str>, count: f64| {
        MetadataCommand::Access(AccessCommand::AlterQuota {
            entity: QuotaEntity::TopicPrefix(Named::of(prefix)),
            changes: QuotaChanges::from([(
                QuotaKey::PartitionCount,
                Some(QuotaValue::new(count).unwrap()),
            )]),
        })
    };
    let mut next_id = 0;
    let mut create = |name: &str, count: u32| {
        next_id += 1;
        MetadataCommand::CreateTopic(CreateTopic {
            name: TopicName::new(name).unwrap(),
            id: weir_model::TopicId(uuid::Uuid::from_u128(next_id)),
            partitions: (1..=count).map(weir_model::GroupId).collect(),
            replication_factor: 1,
            configs: std::collections::BTreeMap::new(),
            created: Millis(0),
        })
    };
    let refused = MetadataOutcome::Refused(weir_model::ErrorKind::PolicyViolation);
    apply(&mut state, limit(Some("shop-"), 5.0));
    apply(&mut state, create("shop-a", 3));
    apply(&mut state, create("shop", 9));
    apply(&mut state, create("shopping", 9));
    assert_eq!(apply(&mut state, create("shop-b", 3)), refused);
    assert!(matches!(
        apply(&mut state, create("shop-b", 2)),
        MetadataOutcome::TopicCreated(_)
    ));
    let topic = state
        .topology()
        .by_name(&TopicName::new("shop-b").unwrap())
        .unwrap()
        .id;
    let more = |from_count| {
        MetadataCommand::CreatePartitions(CreatePartitions {
            topic,
            from_count,
            groups: vec![weir_model::GroupId(1)],
        })
    };
    assert_eq!(apply(&mut state, more(2)), refused);
    apply(&mut state, limit(Some("shop-"), 6.0));
    assert_eq!(
        apply(&mut state, more(2)),
        MetadataOutcome::PartitionsCreated
    );
    apply(&mut state, limit(None, 25.0));
    assert_eq!(apply(&mut state, create("other", 2)), refused);
    let again = MetadataState::decode(&state.encode()).unwrap();
    assert_eq!(again.encode(), state.encode());
    assert!(matches!(
        apply(&mut state, create("other", 1)),
        MetadataOutcome::TopicCreated(_)
    ));
}

fn apply(state: &mut MetadataState, command: MetadataCommand) -> MetadataOutcome {
    let at = crate::Applied {
        group: weir_model::GroupId::METADATA,
        index: 1,
        term: weir_model::Term(1),
        now: Millis(5),
        elapsed: Millis(5),
    };
    state.apply(&at, command)
}
