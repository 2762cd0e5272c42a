//! One request: a page, the API's own document, or a route of the API.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use super::{
    crowd::Place,
    door::{HttpDoor, Page},
};
use crate::{
    api::{
        self,
        asker::Asker,
        call::{Answer, Call},
    },
    login::{Client, Who},
    open_api,
    routing::{
        body,
        path::ROOT,
        problem::{PROBLEM_JSON, Problem},
        query,
        route::{self, Body, Route},
    },
};

/// Where it is described.
const DOCUMENT: &str = "/openapi.json";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

static DESCRIBED: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(open_api::document().to_string()));

type Answered = Response<Full<Bytes>>;

/// Answers, whatever was asked.
pub(super) async fn answer(
    door: &Arc<HttpDoor>,
    client: &Client,
    place: &Place,
    request: Request<Incoming>,
) -> Answered {
    let path = request.uri().path().to_owned();
    let below = path.strip_prefix(ROOT);
    match below.filter(|below| below.is_empty() || below.starts_with('/')) {
        Some(DOCUMENT) if is_read(request.method()) => {
            sent(StatusCode::OK, JSON, DESCRIBED.clone())
        }
        Some(DOCUMENT) => problem(&Problem::method("GET, HEAD")),
        Some(below) => match of_api(door, client, place, request, below).await {
            Ok(answer) => of_answer(&answer),
            Err(refused) => problem(&refused),
        },
        None => page(door, client, place, &request, &path).await,
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

async fn page(
    door: &HttpDoor,
    client: &Client,
    place: &Place,
    request: &Request<Incoming>,
    path: &str,
) -> Answered {
    let mut answer = if is_read(request.method()) {
        place.is_worked_for(true);
        let page = door.pages.page(path, client.is_known()).await;
        place.is_worked_for(false);
        match page {
            Some(Page {
                status,
                content_type,
                text,
            }) => sent(status, content_type, text),
            None => {
                let text = Bytes::from_static(b"not found\n");
                sent(StatusCode::NOT_FOUND, TEXT, text)
            }
        }
    } else {
        let text = Bytes::from_static(b"GET and HEAD only\n");
        sent(StatusCode::METHOD_NOT_ALLOWED, TEXT, text)
    };
    let allowed = HeaderValue::from_static("GET, HEAD");
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

async fn of_api(
    door: &Arc<HttpDoor>,
    client: &Client,
    place: &Place,
    request: Request<Incoming>,
    below: &str,
) -> Result<Answer, Problem> {
    let (route, path) = route::find(api::all(), request.method().as_str(), below)?;
    let node = door
        .node()
        .ok_or_else(|| Problem::unavailable("starting", "the node is starting: it answers soon"))?;
    let access = node.access().clone();
    let Who { principal, grants } = client.who(&access, &door.tokens, request.headers()).await?;
    let asker = Asker {
        access,
        principal,
        grants,
        peer: client.peer,
    };
    let query = query::read(
        &route.parameters(),
        request.uri().query().unwrap_or_default(),
    )?;
    let is_empty = request.body().is_end_stream();
    body::check_type(route.verb, request.headers(), is_empty)?;
    let body = received(route, request).await?;
    asker.check(route.rights, &path, &body)?;
    // Those who say nothing took no place until here.
    let _under_way = door
        .places
        .try_acquire()
        .map_err(|_| Problem::overloaded())?;
    let call = Call {
        route,
        node: Arc::clone(node),
        settings: Arc::clone(&door.settings),
        asker,
        path,
        query,
        body,
    };
    place.is_worked_for(true);
    let answer = api::act(call).await;
    place.is_worked_for(false);
    answer
}

async fn received(
    route: &Route,
    request: Request<Incoming>,
) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    let bytes = body::receive(request.into_body()).await?;
    match route.body {
        Body::None if !body::object(&bytes)?.is_empty() => {
            Err(Problem::invalid("there is no body here"))
        }
        Body::None => Ok(serde_json::Map::new()),
        Body::Word | Body::Of(_) => body::object(&bytes),
    }
}

fn of_answer(answer: &Answer) -> Answered {
    match &answer.body {
        Some(body) => sent(answer.status, JSON, Bytes::from(body.to_string())),
        None => {
            let mut bare = Response::new(Full::default());
            *bare.status_mut() = answer.status;
            bare.headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            bare
        }
    }
}

fn problem(problem: &Problem) -> Answered {
    let text = Bytes::from(problem.body().to_string());
    let mut answer = sent(problem.status, PROBLEM_JSON, text);
    if let Some((name, value)) = &problem.header {
        answer.headers_mut().insert(name.clone(), value.clone());
    }
    // What of the body was not read is not read any more.
    if matches!(
        problem.status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
    ) {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}

fn sent(status: StatusCode, content_type: &'static str, text: Bytes) -> Answered {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
