//! Addresses of the web.

/// `http://user:password@host:port/path?query`
#[derive(Clone, Debug, PartialEq)]
pub struct Url {
    pub scheme: String,
    pub user: Option<String>,
    pub host: String,
    pub port: u16,
    /// With the query, beginning with a `/`.
    pub path: String,
}

impl Url {
    /// Reads one; without a scheme it is `http`.
    pub fn parse(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_string()), place),
            None => (None, authority),
        };
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "https" => 443,
            _ => 80,
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(literal) => {
                let (host, behind) = literal.split_once(']')?;
                (host, behind.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return None;
        }
        let port = match port {
            None | Some("") => default,
            Some(port) => port.parse().ok()?,
        };
        Some(Url { scheme, user, host: host.into(), port, path })
    }

    /// Where a `Location` leads to from here.
    pub fn join(&self, location: &str) -> Option<Url> {
        if location.contains("://") {
            return Url::parse(location);
        }
        let mut next = self.clone();
        let location = location.split('#').next().unwrap_or(location);
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.scheme));
        }
        next.path = if location.starts_with('/') {
            location.into()
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            format!("{}/{location}", path.rsplit_once('/').map_or("", |(folder, _)| folder))
        };
        Some(next)
    }

    /// The `Host` of a request.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.scheme == "https" { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}
