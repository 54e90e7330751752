//! `module-p1 [CODE]`: says what it sees, then exits with CODE.

fn main() {
    let args: Vec<String> = std::env::args().collect();
    println!("args: {}", args.join(" "));
    let mut env: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    env.sort();
    println!("env: {}", env.join(" "));
    match std::fs::read_to_string("/etc/hostname") {
        Ok(name) => println!("hostname: {}", name.trim()),
        Err(error) => eprintln!("hostname: {error}"),
    }
    let code = args.get(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    std::process::exit(code);
}
