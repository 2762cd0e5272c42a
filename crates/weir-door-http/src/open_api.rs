//! The API's own document (OpenAPI 3.1), made of the table of routes.

use std::collections::BTreeMap;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use weir_broker::{access_admin::AccessAdminRequest, queue_admin::QueueAdminRequest};

use crate::routing::{
    path,
    problem::PROBLEM_JSON,
    query::{Kind, Parameter},
    route::{Act, Body, Gives, Route, Verb},
};

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";
/// Parameters of paths that are numbers.
const NUMBERS: [&str; 4] = ["node", "shard", "partition", "serial"];

/// What makes schemas.
fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// The document.
pub(crate) fn document() -> Value {
    let mut generator = generator();
    let words = Words::new(&mut generator);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in crate::api::all() {
        let operation = operation(route, &words, &mut generator);
        let verb = route.verb.name().to_ascii_lowercase();
        paths.entry(route.path).or_default().insert(verb, operation);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "WeirMQ admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the command line does, over HTTP.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": path::ROOT }],
        "security": [{ "basic": [] }, { "bearer": [] }, { "certificate": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Problem": problem_response() },
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    })
}

fn problem_response() -> Value {
    let reference = format!("#{SCHEMAS}/Problem");
    json!({
        "description": "It is not so: the status, `error` and `detail` say why.",
        "content": { PROBLEM_JSON: { "schema": { "$ref": reference } } },
    })
}

fn problem_schema() -> Value {
    json!({
        "description": "Why a request was not carried out (RFC 9457).",
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "For people." },
            "error": { "type": "string", "description": "For programs." },
            "retriable": {
                "type": "boolean",
                "description": "Whether the same request may succeed later, unchanged.",
            },
        },
        "required": ["type", "title", "status", "detail", "error", "retriable"],
    })
}

/// Fields of the broker's requests by their words.
struct Words {
    queue: Value,
    access: Value,
}

impl Words {
    fn new(generator: &mut SchemaGenerator) -> Self {
        let queue = generator.root_schema_for::<QueueAdminRequest>();
        let access = generator.root_schema_for::<AccessAdminRequest>();
        Self {
            queue: queue.to_value(),
            access: access.to_value(),
        }
    }

    /// The fields of a word that a body has: those that stand nowhere else.
    fn body(&self, route: &Route) -> Option<Value> {
        let (all, word) = match route.act {
            Act::Queue(word) => (&self.queue, word),
            Act::Access(word) => (&self.access, word),
            Act::Own(_) => return None,
        };
        let mut variants = all["oneOf"].as_array()?.iter();
        let variant = variants.find(|one| one["properties"]["request"]["const"] == word.word)?;
        let mut schema = variant.clone();
        let fields = schema.as_object_mut()?;
        let elsewhere = path::parameters(route.path).map(|name| word.field(name));
        let elsewhere = elsewhere.chain(word.fixed.iter().map(|(name, _)| *name));
        let elsewhere = elsewhere.chain(route.query.iter().map(|parameter| parameter.name));
        for name in elsewhere.chain(["request"]) {
            fields.get_mut("properties")?.as_object_mut()?.remove(name);
            if let Some(Value::Array(required)) = fields.get_mut("required") {
                required.retain(|known| known != name);
            }
        }
        fields.remove("description");
        Some(schema)
    }
}

fn operation(route: &Route, words: &Words, generator: &mut SchemaGenerator) -> Value {
    let of_path = path::parameters(route.path).map(|name| {
        let schema = match NUMBERS.contains(&name) {
            true => json!({ "type": "integer", "minimum": 0, "maximum": i32::MAX }),
            false => json!({ "type": "string", "minLength": 1 }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let of_query = route.parameters();
    let of_query = of_query.iter().map(parameter);
    let rights: Vec<String> = route.rights.iter().map(|right| right.words()).collect();
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "description": format!("Wants: {}.", rights.join("; ")),
        "parameters": of_path.chain(of_query).collect::<Value>(),
        "responses": responses(route, generator),
    });
    let schema = match route.body {
        Body::None => None,
        Body::Word => words.body(route),
        Body::Of(schema) => Some(schema(generator).to_value()),
    };
    if let Some(schema) = schema {
        let named = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next());
        let named = named.and_then(|name| generator.definitions().get(name));
        let needs = named.unwrap_or(&schema)["required"].as_array();
        let is_required = needs.is_some_and(|all| !all.is_empty());
        operation["requestBody"] = json!({
            "required": is_required || route.verb == Verb::Post,
            "content": { "application/json": { "schema": schema } },
        });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text | Kind::Cursor => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(max) => json!({ "type": "integer", "minimum": 1, "maximum": max }),
    };
    let Parameter { name, doc, .. } = parameter;
    json!({ "name": name, "in": "query", "description": doc, "schema": schema })
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let json_of = |words: &str, schema: Value| {
        json!({
            "description": words,
            "content": { "application/json": { "schema": schema } },
        })
    };
    let bare = |words: &str| json!({ "description": words });
    let mut responses = Map::new();
    match route.gives {
        Gives::Nothing => {
            responses.insert("204".to_owned(), bare("It is so."));
        }
        Gives::Declared => {
            responses.insert("201".to_owned(), bare("It was made."));
            responses.insert("204".to_owned(), bare("It is there."));
        }
        Gives::One(schema) | Gives::Whole(schema) => {
            let schema = schema(generator).to_value();
            responses.insert("200".to_owned(), json_of("It is this.", schema));
        }
        Gives::Rows(schema, _) => {
            let page = json!({
                "type": "object",
                "properties": {
                    "rows": { "type": "array", "items": schema(generator).to_value() },
                    "next": {
                        "type": ["string", "null"],
                        "description": "Give it as `after` for the page that follows; null: there is none.",
                    },
                },
                "required": ["rows", "next"],
            });
            responses.insert("200".to_owned(), json_of("A page of them.", page));
        }
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    responses.insert("default".to_owned(), problem);
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn docs(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(name)
    }

    /// The page, or what it says after it was written.
    fn kept(name: &str, text: &str) -> String {
        if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
            std::fs::write(docs(name), text).unwrap();
        }
        std::fs::read_to_string(docs(name)).unwrap()
    }

    #[test]
    fn the_document_that_is_kept_is_the_one_that_is_served() {
        let text = format!("{:#}\n", document());
        assert!(
            kept("openapi.json", &text) == text,
            "WEIR_WRITE_DOCS=1 writes it"
        );
    }

    #[test]
    fn the_page_has_every_route() {
        const BEGIN: &str = "<!-- routes:begin -->\n";
        const END: &str = "<!-- routes:end -->\n";
        let mut table = String::from("| Request | What it does | Wants |\n|---|---|---|\n");
        for route in crate::api::all() {
            let rights: Vec<String> = route.rights.iter().map(|right| right.words()).collect();
            let rights = rights.join("; ");
            let (verb, path, summary) = (route.verb.name(), route.path, route.summary);
            table.push_str(&format!("| `{verb} {path}` | {summary} | {rights} |\n"));
        }
        let page = std::fs::read_to_string(docs("http-api.md")).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        assert!(
            kept("http-api.md", &text) == text,
            "WEIR_WRITE_DOCS=1 writes it"
        );
    }

    #[test]
    fn every_body_of_a_words_route_has_its_schema_without_what_stands_elsewhere() {
        let document = document();
        for route in crate::api::all() {
            let verb = route.verb.name().to_ascii_lowercase();
            let operation = &document["paths"][route.path][&verb];
            let has_body = !matches!(route.body, Body::None);
            assert_eq!(
                operation["requestBody"].is_object(),
                has_body,
                "{}",
                route.id
            );
        }
        let put = &document["paths"]["/vhosts/{vhost}/queues/{name}"]["put"]["requestBody"];
        let schema = &put["content"]["application/json"]["schema"];
        let fields: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["arguments", "auto_delete", "durable"]);
        assert_eq!(schema["additionalProperties"], false);
    }
}
