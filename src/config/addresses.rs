//! Where the systems of a pipeline are, as far as its settings say it by host and port.

use super::PipelineFile;

/// The ports of URLs that name none.
const PORTS: [(&str, u16); 6] = [
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("http", 80),
    ("https", 443),
];
/// The port of a broker that names none.
const BROKER_PORT: u16 = 9092;

impl PipelineFile {
    /// The hosts and ports of a source (`"sources"`) or sink (`"sinks"`); none where it is a file, or is
    /// reached some other way.
    pub fn addresses(&self, section: &str, name: &str) -> Vec<(String, u16)> {
        let settings = &self.resolved[section][name];
        if let Some(brokers) = settings["brokers"].as_str() {
            return brokers.split(',').filter_map(broker).collect();
        }
        let url = settings["url"].as_str();
        url.and_then(of_url).into_iter().collect()
    }
}

fn broker(text: &str) -> Option<(String, u16)> {
    let text = text.trim();
    // A listener may be named before it: `SSL://host:9093`.
    let address = text.rsplit("://").next().unwrap_or(text);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (address, BROKER_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn of_url(text: &str) -> Option<(String, u16)> {
    let url = url::Url::parse(text).ok()?;
    let known = PORTS.iter().find(|(scheme, _)| *scheme == url.scheme());
    let port = url.port().or(known.map(|(_, port)| *port))?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_brokers_or_of_a_url() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(broker(" kafka:9093"), at("kafka", 9093));
        assert_eq!(broker("SSL://kafka:9093"), at("kafka", 9093));
        assert_eq!(broker("[::1]:9093"), at("::1", 9093));
        assert_eq!(broker("kafka"), at("kafka", 9092));
        assert_eq!(broker(""), None);
        assert_eq!(of_url("postgres://me:x%40y@db/crm"), at("db", 5432));
        assert_eq!(of_url("mysql://db:1/crm"), at("db", 1));
        assert_eq!(of_url("postgres://[::1]/crm"), at("::1", 5432));
        assert_eq!(of_url("postgres:///crm?host=/run/postgresql"), None);
        assert_eq!(of_url("state/target.db"), None);
    }
}
