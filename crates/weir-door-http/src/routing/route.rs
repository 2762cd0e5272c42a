//! A line of the table of routes, and the line that a request means.

use std::{future::Future, pin::Pin};

use schemars::{Schema, SchemaGenerator};
use weir_access::acl::Operation;

use super::{
    path::{self, Parameters},
    problem::Problem,
    query::{self, Parameter},
};
use crate::api::call::{Answer, Call};

/// How a route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

/// What a request wants to be allowed. All that a route names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// On the cluster.
    Cluster(Operation),
    /// On the topic that the path names.
    Topic(Operation),
    /// On the group that the path names.
    Group(Operation),
    /// Make topics of the name that the path has: on the cluster or on the topic.
    CreateTopic,
    /// On each topic that the body names.
    TopicsOfBody(Operation),
    /// On each topic that is shown; others are left out.
    TopicsShown(Operation),
    /// On each group that is shown, or on the cluster; others are left out.
    GroupsShown(Operation),
    /// Be in the virtual host that the path names, or describe the cluster.
    Vhost,
    /// The same for each virtual host that is shown; others are left out.
    VhostsShown,
    /// What RabbitMQ's permissions want for this, which is asked where it is done.
    Permissions(&'static str),
}

/// Makes the schema of something.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes as its body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Nothing.
    None,
    /// The fields of its word that neither path nor query has.
    Word,
    /// This.
    Of(SchemaOf),
}

/// What a route answers with where it was done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gives {
    /// Nothing.
    Nothing,
    /// That it was made, or that it was there.
    Declared,
    /// Rows of a page, and where the next one begins: `key` names the fields of a row that tell its place.
    Rows(SchemaOf, &'static [&'static str]),
    /// One thing.
    One(SchemaOf),
    /// All that the broker says to it.
    Whole(SchemaOf),
}

/// Words of one of the broker's own requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    /// Its name.
    pub(crate) word: &'static str,
    /// Fields that are always so.
    pub(crate) fixed: &'static [(&'static str, bool)],
    /// A parameter of the path, and the field that it is.
    pub(crate) renamed: Option<(&'static str, &'static str)>,
}

/// What a route is about to answer.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// How a route is carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// By a request about queues and what leads to them.
    Queue(Word),
    /// By a request about users and rules.
    Access(Word),
    /// By itself.
    Own(fn(Call) -> Answering),
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// Its name, once in the table.
    pub(crate) id: &'static str,
    pub(crate) verb: Verb,
    /// Below the API's root.
    pub(crate) path: &'static str,
    /// One sentence for people.
    pub(crate) summary: &'static str,
    pub(crate) rights: &'static [Right],
    /// Besides those of lists.
    pub(crate) query: &'static [Parameter],
    pub(crate) body: Body,
    pub(crate) gives: Gives,
    pub(crate) act: Act,
}

impl Verb {
    /// As requests name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The one that a request means; HEAD is a GET without the body.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "GET" | "HEAD" => Some(Self::Get),
            "PUT" => Some(Self::Put),
            "POST" => Some(Self::Post),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

impl Word {
    pub(crate) const fn new(word: &'static str) -> Self {
        Self {
            word,
            fixed: &[],
            renamed: None,
        }
    }

    pub(crate) const fn with(mut self, fixed: &'static [(&'static str, bool)]) -> Self {
        self.fixed = fixed;
        self
    }

    /// The parameter of the path is this field.
    pub(crate) const fn renamed(mut self, parameter: &'static str, field: &'static str) -> Self {
        self.renamed = Some((parameter, field));
        self
    }

    /// The parameter of the path names the only row that is wanted.
    pub(crate) const fn only(self, parameter: &'static str) -> Self {
        self.renamed(parameter, "only")
    }

    /// The field that a parameter of the path is.
    pub(crate) fn field(&self, parameter: &'static str) -> &'static str {
        match self.renamed {
            Some((known, field)) if known == parameter => field,
            Some(_) | None => parameter,
        }
    }
}

impl Right {
    /// For people.
    pub(crate) fn words(self) -> String {
        let name = |operation: Operation| operation.name();
        match self {
            Self::Cluster(operation) => format!("`{}` the cluster", name(operation)),
            Self::Topic(operation) => format!("`{}` the topic", name(operation)),
            Self::Group(operation) => format!("`{}` the group", name(operation)),
            Self::CreateTopic => "`create` the cluster or the topic".to_owned(),
            Self::TopicsOfBody(operation) => {
                format!("`{}` each topic that is meant", name(operation))
            }
            Self::TopicsShown(operation) => {
                format!("`{}` each topic that is shown", name(operation))
            }
            Self::GroupsShown(operation) => format!(
                "`{}` the cluster, or each group that is shown",
                name(operation)
            ),
            Self::Vhost => "permissions in the virtual host, or `describe` the cluster".to_owned(),
            Self::VhostsShown => {
                "permissions in each virtual host that is shown, or `describe` the cluster"
                    .to_owned()
            }
            Self::Permissions(which) => format!("permissions: {which}"),
        }
    }
}

impl Route {
    /// All parameters that may stand behind the question mark.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let page: &[Parameter] = match self.gives {
            Gives::Rows(..) => &query::PAGE,
            Gives::Nothing | Gives::Declared | Gives::One(_) | Gives::Whole(_) => &[],
        };
        [page, self.query].concat()
    }
}

/// The line that a request means, and the path's parameters.
pub(crate) fn find(
    table: impl Iterator<Item = &'static Route>,
    method: &str,
    path: &str,
) -> Result<(&'static Route, Parameters), Problem> {
    let verb = Verb::named(method);
    let mut others: Vec<Verb> = Vec::new();
    for route in table {
        let Some(found) = path::matched(route.path, path) else {
            continue;
        };
        if Some(route.verb) == verb {
            return Ok((route, path::decoded(found)?));
        }
        others.push(route.verb);
    }
    if others.is_empty() {
        return Err(Problem::not_found("there is nothing at this address"));
    }
    others.sort_unstable();
    let mut names: Vec<&str> = others.into_iter().map(Verb::name).collect();
    names.dedup();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    Err(Problem::method(&names.join(", ")))
}
