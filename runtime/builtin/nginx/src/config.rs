//! The configuration: `server`, `listen`, `server_name`, `root`, `index`, `location`, `return`, `alias`, `add_header`,
//! `default_type`, `try_files`. Anything else is read over, as far as its braces and semicolons go.

/// One `server` block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    pub ports: Vec<u16>,
    pub names: Vec<String>,
    pub defaults: Rules,
    pub locations: Vec<Location>,
}

/// One `location` block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// `location = /path`.
    pub exact: bool,
    pub path: String,
    pub alias: Option<String>,
    pub rules: Rules,
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
}

/// The servers of all files of `/etc/nginx/conf.d`, by the files' names; the default server when there is no such folder.
pub fn read() -> Vec<Server> {
    let Ok(folder) = std::fs::read_dir("/etc/nginx/conf.d") else {
        return vec![Server { ports: vec![80], ..Server::default() }];
    };
    let mut files: Vec<_> = folder.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "conf")).collect();
    files.sort();
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).flat_map(|text| parse(&text)).collect()
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
    /// The location for a path: an exact one, else the longest prefix.
    pub fn location(&self, path: &str) -> Option<&Location> {
        let exact = self.locations.iter().find(|l| l.exact && l.path == path);
        exact.or_else(|| self.locations.iter().filter(|l| !l.exact && path.starts_with(&l.path)).max_by_key(|l| l.path.len()))
    }
}

/// Parses text; what it does not understand it passes over.
pub fn parse(text: &str) -> Vec<Server> {
    let tokens = tokens(text);
    let mut servers = Vec::new();
    let mut at = 0;
    block(&tokens, &mut at, &mut |words, tokens, at| {
        if words.first().is_some_and(|w| w == "server") && tokens.get(*at - 1) == Some(&Token::Open) {
            servers.push(server(tokens, at));
            return true;
        }
        false
    });
    for server in &mut servers {
        if server.ports.is_empty() {
            server.ports.push(80);
        }
    }
    servers
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

/// Regular expressions are passed over; a named or nested location as well.
fn location(words: &[&str], tokens: &[Token], at: &mut usize) -> Option<Location> {
    let (exact, path) = match words {
        ["=", path] => (true, *path),
        ["^~", path] => (false, *path),
        [path] if path.starts_with('/') => (false, *path),
        _ => (false, ""),
    };
    let mut location = Location { exact, path: path.to_string(), ..Location::default() };
    block(tokens, at, &mut |words, tokens, at| {
        if tokens.get(*at - 1) == Some(&Token::Open) {
            return false;
        }
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["alias", path] => location.alias = Some(path.to_string()),
            words => rule(&mut location.rules, words),
        }
        false
    });
    (!path.is_empty()).then_some(location)
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
mod tests {
    use super::*;

    #[test]
    fn what_tutorials_write() {
        let servers = parse(
            "# users\nupstream x { server a:1; }\nserver {\n  listen 5000; listen [::]:5001 default_server;\n  server_name users.local *.example.com _;\n  root /srv/;\n\
             location / { return 200 \"users\\n\"; }\n  location = /health { add_header X-A 'b c' always; return 204; }\n\
             location ~ \\.php$ { return 500; }\n  location /static/ { alias /data/; index a.html b.html; if ($x) { return 403; } }\n}",
        );
        let [server] = servers.as_slice() else { panic!("{servers:?}") };
        assert_eq!(server.ports, [5000, 5001]);
        assert_eq!(server.names, ["users.local", "*.example.com"]);
        assert_eq!(server.defaults.root.as_deref(), Some("/srv"));
        assert_eq!(server.location("/x").unwrap().rules.answer, Some((200, "users\n".into())));
        assert_eq!(server.location("/health").unwrap().rules.headers, [("X-A".into(), "b c".into())]);
        let files = server.location("/static/x").unwrap();
        assert_eq!((files.alias.as_deref(), files.rules.answer.as_ref()), (Some("/data/"), None));
        assert_eq!(server.locations.len(), 3);
    }

    #[test]
    fn nonsense_ends() {
        for text in ["", "}}}}", "server {", "server { location", "\"", "server { location / { return", "{{{{{{", "return 200"] {
            let _ = parse(text);
        }
    }

    #[test]
    fn the_server_is_chosen_by_name_then_port() {
        let servers = parse("server { listen 80; server_name a; } server { listen 81; server_name *.b; }");
        let port = |host: &str| choose(&servers, host).unwrap().ports[0];
        assert_eq!((port("a"), port("x.b"), port("other:81"), port("other"), port("")), (80, 81, 81, 80, 80));
    }
}
