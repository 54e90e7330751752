//! The configuration: `http`, `include`, `upstream`, `server`, `listen`, `server_name`, `root`, `index`, `location`, `return`,
//! `alias`, `add_header`, `default_type`, `try_files`, `error_page`, `proxy_pass`, `proxy_set_header`. Anything else is read
//! over, as far as its braces and semicolons go.

use std::path::Path;

use regex_lite::{Regex, RegexBuilder};

const FOLDER: &str = "/etc/nginx";
/// Files that may include each other.
const DEEPEST: usize = 8;

/// All that the files say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub servers: Vec<Server>,
    /// Names and the addresses behind them.
    pub upstreams: Vec<(String, Vec<String>)>,
}

/// One `server` block.
#[derive(Clone, Debug, Default)]
pub struct Server {
    pub ports: Vec<u16>,
    pub names: Vec<String>,
    pub defaults: Rules,
    pub locations: Vec<Location>,
}

/// One `location` block.
#[derive(Clone, Debug, Default)]
pub struct Location {
    pub kind: Kind,
    /// What paths begin with; nothing for an expression.
    pub path: String,
    pub alias: Option<String>,
    pub proxy: Option<Proxy>,
    pub rules: Rules,
}

/// How a location's path is meant.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    #[default]
    Prefix,
    /// `= /path`
    Exact,
    /// `^~ /path`: no expression is asked when this is the longest.
    Final,
    /// `~ expression`, `~* expression`
    Regex(Regex),
}

/// Where requests are passed on to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxy {
    /// `http://name:port/path`
    pub to: String,
    pub headers: Vec<(String, String)>,
}

/// What may stand in a server and in a location.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub root: Option<String>,
    pub index: Option<Vec<String>>,
    /// Status, and text or address.
    pub answer: Option<(u16, String)>,
    pub headers: Vec<(String, String)>,
    pub default_type: Option<String>,
    pub try_files: Option<Vec<String>>,
    /// Status, and the path that is shown for it.
    pub error_pages: Vec<(u16, String)>,
}

/// What `/etc/nginx/nginx.conf` says, with what it includes; without that file, all of `conf.d`; the default server when
/// there is neither.
pub fn read() -> Config {
    let mut config = Config::default();
    match std::fs::read_to_string(format!("{FOLDER}/nginx.conf")) {
        Ok(text) => collect(&text, DEEPEST, &mut config),
        Err(_) => include("conf.d/*.conf", DEEPEST, &mut config),
    }
    if config.servers.is_empty() && !Path::new(FOLDER).join("conf.d").exists() {
        config.servers.push(Server { ports: vec![80], ..Server::default() });
    }
    config
}

/// The files of a pattern whose last part may hold one `*`, sorted by name.
fn include(pattern: &str, depth: usize, config: &mut Config) {
    let path = Path::new(FOLDER).join(pattern);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let files = match name.split_once('*') {
        None => vec![path],
        Some((begin, end)) => {
            let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
            let fits = |name: &str| name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end);
            let mut files: Vec<_> = entries.map(|f| f.path()).filter(|p| p.file_name().is_some_and(|n| fits(&n.to_string_lossy()))).collect();
            files.sort();
            files
        }
    };
    for text in files.iter().filter_map(|file| std::fs::read_to_string(file).ok()) {
        collect(&text, depth, config);
    }
}

/// The server for a request: the first that has its name, then that has its port, else the first.
pub fn choose<'a>(servers: &'a [Server], host: &str) -> Option<&'a Server> {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, port.parse::<u16>().ok()));
    let named = servers.iter().find(|s| s.names.iter().any(|n| matches_name(n, name)));
    named.or_else(|| servers.iter().find(|s| port.is_some_and(|p| s.ports.contains(&p)))).or(servers.first())
}

fn matches_name(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

impl Server {
    /// The location for a path: an exact one, else the first expression that matches, else the longest prefix.
    pub fn location(&self, path: &str) -> Option<&Location> {
        let exact = self.locations.iter().find(|l| matches!(l.kind, Kind::Exact) && l.path == path);
        if exact.is_some() {
            return exact;
        }
        let prefixes = self.locations.iter().filter(|l| matches!(l.kind, Kind::Prefix | Kind::Final) && path.starts_with(&l.path));
        let longest = prefixes.max_by_key(|l| l.path.len());
        if longest.is_some_and(|l| matches!(l.kind, Kind::Final)) {
            return longest;
        }
        self.locations.iter().find(|l| matches!(&l.kind, Kind::Regex(regex) if regex.is_match(path))).or(longest)
    }
}

/// Adds what a text says; what it does not understand it passes over.
fn collect(text: &str, depth: usize, config: &mut Config) {
    let tokens = tokens(text);
    let mut at = 0;
    outer(&tokens, &mut at, depth, config);
}

/// Outside of servers: `http` is entered, files are included.
fn outer(tokens: &[Token], at: &mut usize, depth: usize, config: &mut Config) {
    block(tokens, at, &mut |words, tokens, at| {
        let opened = tokens.get(*at - 1) == Some(&Token::Open);
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["http"] if opened => outer(tokens, at, depth, config),
            ["server"] if opened => {
                let mut server = server(tokens, at);
                if server.ports.is_empty() {
                    server.ports.push(80);
                }
                config.servers.push(server);
            }
            ["upstream", name] if opened => {
                let mut addresses = Vec::new();
                block(tokens, at, &mut |words, _, _| {
                    if let [word, address, ..] = words
                        && word == "server"
                    {
                        addresses.push(address.clone());
                    }
                    false
                });
                config.upstreams.push((name.to_string(), addresses));
            }
            ["include", pattern] if depth > 0 => {
                include(pattern, depth - 1, config);
                return false;
            }
            _ => return false,
        }
        true
    });
}

fn server(tokens: &[Token], at: &mut usize) -> Server {
    let mut server = Server::default();
    block(tokens, at, &mut |words, tokens, at| {
        let opened = tokens.get(*at - 1) == Some(&Token::Open);
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["location", rest @ ..] if opened => {
                if let Some(location) = location(rest, tokens, at) {
                    server.locations.push(location);
                }
                return true;
            }
            ["listen", address, ..] => {
                if let Ok(port) = address.rsplit(':').next().unwrap_or(address).parse() {
                    server.ports.push(port);
                }
            }
            ["server_name", names @ ..] => server.names.extend(names.iter().filter(|n| **n != "_").map(|n| n.to_string())),
            words if !opened => rule(&mut server.defaults, words),
            _ => {}
        }
        false
    });
    server
}

/// A named or nested location is passed over, and one whose expression is none.
fn location(words: &[&str], tokens: &[Token], at: &mut usize) -> Option<Location> {
    let regex = |pattern: &str, folds: bool| RegexBuilder::new(pattern).case_insensitive(folds).build().ok().map(|regex| (Kind::Regex(regex), ""));
    let found = match words {
        ["=", path] => Some((Kind::Exact, *path)),
        ["^~", path] => Some((Kind::Final, *path)),
        ["~", pattern] => regex(pattern, false),
        ["~*", pattern] => regex(pattern, true),
        [path] if path.starts_with('/') => Some((Kind::Prefix, *path)),
        _ => None,
    };
    let known = found.is_some();
    let (kind, path) = found.unwrap_or_default();
    let mut location = Location { kind, path: path.to_string(), ..Location::default() };
    block(tokens, at, &mut |words, tokens, at| {
        if tokens.get(*at - 1) == Some(&Token::Open) {
            return false;
        }
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["alias", path] => location.alias = Some(path.to_string()),
            ["proxy_pass", to] => location.proxy.get_or_insert_default().to = to.to_string(),
            ["proxy_set_header", name, value] => location.proxy.get_or_insert_default().headers.push((name.to_string(), value.to_string())),
            words => rule(&mut location.rules, words),
        }
        false
    });
    location.proxy = location.proxy.filter(|proxy| !proxy.to.is_empty());
    known.then_some(location)
}

fn rule(rules: &mut Rules, words: &[&str]) {
    match words {
        ["root", path] => rules.root = Some(path.trim_end_matches('/').to_string()),
        ["index", names @ ..] => rules.index = Some(names.iter().map(|n| n.to_string()).collect()),
        ["return", code, rest @ ..] if code.parse::<u16>().is_ok_and(|c| (200..600).contains(&c)) => {
            rules.answer = code.parse().ok().map(|code| (code, rest.first().unwrap_or(&"").to_string()));
        }
        ["return", address] => rules.answer = Some((302, address.to_string())),
        ["add_header", name, value, ..] => rules.headers.push((name.to_string(), value.to_string())),
        ["default_type", name] => rules.default_type = Some(name.to_string()),
        ["error_page", codes @ .., path] => rules.error_pages.extend(codes.iter().filter_map(|code| Some((code.parse().ok()?, path.to_string())))),
        ["try_files", names @ ..] => rules.try_files = Some(names.iter().map(|n| n.to_string()).collect()),
        _ => {}
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

type Directive<'a> = &'a mut dyn FnMut(&[String], &[Token], &mut usize) -> bool;

/// Calls `directive` with each directive's words up to the end of the block. After a `{` it may read that block
/// itself (and says so); else it is passed over.
fn block(tokens: &[Token], at: &mut usize, directive: Directive) {
    let mut words = Vec::new();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token {
            Token::Word(word) => words.push(word.clone()),
            Token::End => {
                directive(&words, tokens, at);
                words.clear();
            }
            Token::Open => {
                if !directive(&words, tokens, at) {
                    skip(tokens, at);
                }
                words.clear();
            }
            Token::Close => return,
        }
    }
}

fn skip(tokens: &[Token], at: &mut usize) {
    let mut depth = 1;
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' | '\'' if word.is_none() => {
                let mut quoted = String::new();
                while let Some(q) = chars.next() {
                    match q {
                        '\\' => quoted.push(match chars.next() {
                            Some('n') => '\n',
                            Some('t') => '\t',
                            Some('r') => '\r',
                            Some(other) => other,
                            None => '\\',
                        }),
                        q if q == c => break,
                        q => quoted.push(q),
                    }
                }
                tokens.push(Token::Word(quoted));
            }
            '{' | '}' | ';' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(match c {
                    '{' => Token::Open,
                    '}' => Token::Close,
                    _ => Token::End,
                });
            }
            c if c.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

#[cfg(test)]
pub fn parse(text: &str) -> Config {
    let mut config = Config::default();
    collect(text, 0, &mut config);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tutorials_write() {
        let config = parse(
            "# users\nupstream x { server a:1; }\nserver {\n  listen 5000; listen [::]:5001 default_server;\n  server_name users.local *.example.com _;\n  root /srv/;\n\
             location / { return 200 \"users\\n\"; }\n  location = /health { add_header X-A 'b c' always; return 204; }\n\
             location ~ \\.php$ { return 500; }\n  location /static/ { alias /data/; index a.html b.html; if ($x) { return 403; } }\n}",
        );
        let [server] = config.servers.as_slice() else { panic!("{config:?}") };
        assert_eq!(config.upstreams, [("x".to_string(), vec!["a:1".to_string()])]);
        assert_eq!(server.ports, [5000, 5001]);
        assert_eq!(server.names, ["users.local", "*.example.com"]);
        assert_eq!(server.defaults.root.as_deref(), Some("/srv"));
        assert_eq!(server.location("/x").unwrap().rules.answer, Some((200, "users\n".into())));
        assert_eq!(server.location("/health").unwrap().rules.headers, [("X-A".into(), "b c".into())]);
        let files = server.location("/static/x").unwrap();
        assert_eq!((files.alias.as_deref(), files.rules.answer.as_ref()), (Some("/data/"), None));
        assert_eq!(server.location("/x.php").unwrap().rules.answer, Some((500, String::new())));
        assert_eq!(server.locations.len(), 4);
    }

    #[test]
    fn requests_are_passed_on() {
        let config = parse(
            "server { location /api/ { proxy_pass http://back:8080/; proxy_set_header Host $host; } location ^~ /a { } location ~* ^/B { return 204; } error_page 404 500 /oops.html; }",
        );
        let server = &config.servers[0];
        let proxy = server.location("/api/x").unwrap().proxy.clone().unwrap();
        assert_eq!((proxy.to.as_str(), proxy.headers.as_slice()), ("http://back:8080/", [("Host".to_string(), "$host".to_string())].as_slice()));
        assert!(matches!(server.location("/ab").unwrap().kind, Kind::Final));
        assert!(matches!(server.location("/b").unwrap().kind, Kind::Regex(_)));
        assert_eq!(server.defaults.error_pages, [(404, "/oops.html".to_string()), (500, "/oops.html".to_string())]);
    }

    #[test]
    fn nonsense_ends() {
        for text in ["", "}}}}", "server {", "server { location", "\"", "server { location / { return", "{{{{{{", "return 200"] {
            let _ = parse(text);
        }
    }

    #[test]
    fn the_server_is_chosen_by_name_then_port() {
        let servers = parse("http { server { listen 80; server_name a; } } server { listen 81; server_name *.b; }").servers;
        let port = |host: &str| choose(&servers, host).unwrap().ports[0];
        assert_eq!((port("a"), port("x.b"), port("other:81"), port("other"), port("")), (80, 81, 81, 80, 80));
    }
}
