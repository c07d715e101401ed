//! How one page leads to the next.

use reqwest::header::{HeaderMap, LINK};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::error::{Error, Result};

/// How one page leads to the next.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Paging {
    /// Pages have numbers. The last one is empty, or has less than `size` records.
    Page {
        /// The parameter of the number.
        #[serde(default = "page")]
        parameter: String,
        /// The number of the first page.
        #[serde(default = "one")]
        first: u64,
        /// The parameter of the size.
        #[serde(default)]
        size_parameter: Option<String>,
        /// How many records a page has.
        #[serde(default)]
        size: Option<u64>,
    },
    /// A request says how many records to pass over. The last page is empty, or has less than `limit`.
    Offset {
        /// The parameter of that number.
        #[serde(default = "offset")]
        parameter: String,
        /// The parameter of the size.
        #[serde(default = "limit")]
        limit_parameter: String,
        /// How many records a page has.
        limit: u64,
    },
    /// An answer holds a text that the next request sends back; the last one holds none.
    Cursor {
        /// Where it is in the answer: `meta.next`.
        #[serde(default)]
        path: Option<String>,
        /// The header that it is in, where it is not in the answer.
        #[serde(default)]
        header: Option<String>,
        /// The parameter that sends it back.
        parameter: String,
    },
    /// The header `Link` says the next URL, with `rel="next"` (RFC 8288).
    Link {},
    /// An answer says the next URL.
    NextUrl {
        /// Where it is in the answer: `links.next`.
        path: String,
    },
}

fn page() -> String {
    "page".to_owned()
}

fn offset() -> String {
    "offset".to_owned()
}

fn limit() -> String {
    "limit".to_owned()
}

fn one() -> u64 {
    1
}

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Page {
    /// By its number, or by how many records come before it.
    Number(u64),
    /// By the text that an answer held.
    Cursor(String),
    /// By its URL.
    Url(String),
}

/// What an answer says of the next page.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Value,
    pub(super) count: u64,
}

/// What is at a path of names and indices: `data.items`, `0.next`.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    let mut found = value;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        found = match (found, part.parse::<usize>()) {
            (Value::Array(items), Ok(index)) => items.get(index).unwrap_or(&Value::Null),
            (Value::Object(members), _) => members.get(part).unwrap_or(&Value::Null),
            _ => &Value::Null,
        };
    }
    found
}

/// A text or a number; `None` for what says that there is none.
fn token(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Paging {
    /// Makes the URL of a page; `None` is the first.
    ///
    /// # Errors
    /// `Configuration` where the next URL is none, or leads to another server, which would get the secrets.
    pub(super) fn url(&self, base: &Url, page: Option<&Page>) -> Result<Url> {
        let mut url = base.clone();
        let mut set = |name: &str, value: &str| {
            url.query_pairs_mut().append_pair(name, value);
        };
        match self {
            Self::Page {
                parameter,
                first,
                size_parameter,
                size,
            } => {
                let number = match page {
                    Some(Page::Number(number)) => *number,
                    _ => *first,
                };
                set(parameter, &number.to_string());
                if let (Some(name), Some(size)) = (size_parameter, size) {
                    set(name, &size.to_string());
                }
            }
            Self::Offset {
                parameter,
                limit_parameter,
                limit,
            } => {
                let passed = match page {
                    Some(Page::Number(number)) => *number,
                    _ => 0,
                };
                set(parameter, &passed.to_string());
                set(limit_parameter, &limit.to_string());
            }
            Self::Cursor { parameter, .. } => {
                if let Some(Page::Cursor(text)) = page {
                    set(parameter, text);
                }
            }
            Self::Link {} | Self::NextUrl { .. } => {
                if let Some(Page::Url(next)) = page {
                    let next = Url::parse(next).map_err(|cause| {
                        Error::configuration_from("the next URL of the API is none", cause)
                    })?;
                    if next.origin() != base.origin() {
                        return Err(Error::configuration(format!(
                            "the next URL leads to {}, and the API is at {}: it would get the secrets of the other; correct url or paging",
                            next.origin().ascii_serialization(),
                            base.origin().ascii_serialization()
                        )));
                    }
                    return Ok(next);
                }
            }
        }
        Ok(url)
    }

    /// The page behind one; `None` where it was the last.
    pub(super) fn next(&self, page: Option<&Page>, seen: &Seen<'_>) -> Option<Page> {
        match self {
            Self::Page { first, size, .. } => {
                let number = match page {
                    Some(Page::Number(number)) => *number,
                    _ => *first,
                };
                let is_full = seen.count > 0 && size.is_none_or(|size| seen.count >= size);
                is_full.then(|| Page::Number(number + 1))
            }
            Self::Offset { limit, .. } => {
                let passed = match page {
                    Some(Page::Number(number)) => *number,
                    _ => 0,
                };
                (seen.count >= *limit).then(|| Page::Number(passed + seen.count))
            }
            Self::Cursor { path, header, .. } => {
                let in_header = header.as_ref().and_then(|name| {
                    let value = seen.headers.get(name)?.to_str().ok()?;
                    (!value.is_empty()).then(|| value.to_owned())
                });
                let in_body = path.as_ref().and_then(|path| token(at(seen.body, path)));
                in_header.or(in_body).map(Page::Cursor)
            }
            Self::Link {} => {
                let links = seen.headers.get_all(LINK).iter();
                let next = links
                    .filter_map(|link| link.to_str().ok())
                    .find_map(next_link)?;
                Some(Page::Url(seen.url.join(next).ok()?.into()))
            }
            Self::NextUrl { path } => {
                let next = token(at(seen.body, path))?;
                Some(Page::Url(seen.url.join(&next).ok()?.into()))
            }
        }
    }
}

/// The URL of `<…>; rel="next"` among the links of a header.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let behind = &rest[open + 1..];
        let close = behind.find('>')?;
        let (url, parameters) = (&behind[..close], &behind[close + 1..]);
        let end = parameters.find(",<").or(parameters.find(", <"));
        let (own, others) = parameters.split_at(end.unwrap_or(parameters.len()));
        let is_next = own.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            let value = value.trim().trim_matches(['"', ',', ' ']);
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(url);
        }
        rest = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the settings are read: numbers of a tagged table go through a value.
    fn read(text: &str) -> Paging {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn each_kind_of_paging_leads_to_the_next_page_and_ends() {
        let base = Url::parse("https://h/v1/clients?sort=id").unwrap();
        let check = |paging: &str,
                     page: Option<Page>,
                     header: Option<(&'static str, &str)>,
                     body: &str,
                     count: u64,
                     url: &str,
                     next: Option<Page>| {
            let paging = read(paging);
            let made = paging.url(&base, page.as_ref()).unwrap();
            assert_eq!(made.as_str(), format!("https://h/v1/{url}"));
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            let body = serde_json::from_str(body).unwrap();
            let seen = Seen {
                url: &made,
                headers: &headers,
                body: &body,
                count,
            };
            assert_eq!(paging.next(page.as_ref(), &seen), next);
        };
        let page = r#"{"type": "page", "size_parameter": "per_page", "size": 2}"#;
        check(
            page,
            None,
            None,
            "[]",
            2,
            "clients?sort=id&page=1&per_page=2",
            Some(Page::Number(2)),
        );
        check(
            page,
            Some(Page::Number(2)),
            None,
            "[]",
            1,
            "clients?sort=id&page=2&per_page=2",
            None,
        );
        check(
            r#"{"type": "page"}"#,
            Some(Page::Number(9)),
            None,
            "[]",
            0,
            "clients?sort=id&page=9",
            None,
        );
        let offset = r#"{"type": "offset", "limit": 3}"#;
        check(
            offset,
            Some(Page::Number(3)),
            None,
            "[]",
            3,
            "clients?sort=id&offset=3&limit=3",
            Some(Page::Number(6)),
        );
        check(
            offset,
            None,
            None,
            "[]",
            2,
            "clients?sort=id&offset=0&limit=3",
            None,
        );
        let cursor = r#"{"type": "cursor", "path": "meta.next", "parameter": "after"}"#;
        check(
            cursor,
            None,
            None,
            r#"{"meta": {"next": "a b"}}"#,
            1,
            "clients?sort=id",
            Some(Page::Cursor("a b".into())),
        );
        check(
            cursor,
            Some(Page::Cursor("a b".into())),
            None,
            r#"{"meta": {"next": null}}"#,
            1,
            "clients?sort=id&after=a+b",
            None,
        );
        let header = r#"{"type": "cursor", "header": "X-Next", "parameter": "after"}"#;
        check(
            header,
            None,
            Some(("x-next", "7")),
            "[]",
            1,
            "clients?sort=id",
            Some(Page::Cursor("7".into())),
        );
        let link = r#"<https://h/v1/a>; rel="prev", </v1/b?page=2,3>; title="x"; rel="last next""#;
        check(
            r#"{"type": "link"}"#,
            None,
            Some(("link", link)),
            "[]",
            1,
            "clients?sort=id",
            Some(Page::Url("https://h/v1/b?page=2,3".into())),
        );
        let next = r#"{"type": "next_url", "path": "next"}"#;
        check(
            next,
            None,
            None,
            r#"{"next": "?page=2"}"#,
            1,
            "clients?sort=id",
            Some(Page::Url("https://h/v1/clients?page=2".into())),
        );
        check(
            next,
            Some(Page::Url("https://h/v1/x".into())),
            None,
            r#"{"next": ""}"#,
            1,
            "x",
            None,
        );
        let paging = read(next);
        let error = paging
            .url(&base, Some(&Page::Url("https://other/v1".into())))
            .unwrap_err();
        assert!(error.to_string().contains("secrets"), "{error}");
    }
}
