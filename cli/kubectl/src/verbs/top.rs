//! `top`: what nodes and Pods use.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::out;
use crate::print::sort::quantity;
use crate::print::tabwriter::TabWriter;
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf top nodes
  wharf top pods -A --sort-by=memory
  wharf top pod web --containers";

/// What `top` is told.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// What nodes use
    #[command(visible_aliases = ["nodes", "no"])]
    Node(Of),
    /// What Pods use
    #[command(visible_aliases = ["pods", "po"])]
    Pod(Of),
}

#[derive(Debug, clap::Args)]
struct Of {
    /// Its name
    name: Option<String>,
    /// Label selector.
    #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
    selector: String,
    /// cpu or memory.
    #[arg(long, default_value = "", hide_default_value = true)]
    sort_by: String,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Each container on a line.
    #[arg(long)]
    containers: bool,
    /// Leave out the header.
    #[arg(long)]
    no_headers: bool,
    /// Add a line with the sum.
    #[arg(long)]
    sum: bool,
}

struct Row {
    cells: Vec<String>,
    cpu: f64,
    memory: f64,
}

fn usage(value: &Value) -> (f64, f64) {
    let of = |name: &str| value[name].as_str().and_then(quantity).unwrap_or(0.0);
    (of("cpu"), of("memory"))
}

fn shown(cpu: f64, memory: f64) -> (String, String) {
    (format!("{}m", (cpu * 1000.0).ceil() as i64), format!("{}Mi", memory as i64 / (1 << 20)))
}

async fn metrics(session: &Session, path: &str) -> Result<Value> {
    session.get(path).await.map_err(|error| {
        if error.is_not_found() && !path.contains("pods/") && !path.contains("nodes/") { Error::message("Metrics API not available") } else { error }
    })
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let (of, nodes) = match &arguments.what {
        What::Node(of) => (of, true),
        What::Pod(of) => (of, false),
    };
    if !matches!(of.sort_by.as_str(), "" | "cpu" | "memory") {
        return Err(Error::message("--sort-by accepts only cpu or memory"));
    }
    let root = match (nodes, of.all_namespaces) {
        (true, _) => "/apis/metrics.k8s.io/v1beta1/nodes".to_owned(),
        (_, true) => "/apis/metrics.k8s.io/v1beta1/pods".to_owned(),
        _ => format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", session.namespace),
    };
    let path = of.name.as_ref().map_or_else(|| with_query(&root, &[("labelSelector", &of.selector)]), |name| format!("{root}/{name}"));
    let answer = metrics(session, &path).await?;
    let items = answer["items"].as_array().cloned().unwrap_or_else(|| if of.name.is_some() { vec![answer.clone()] } else { Vec::new() });
    let mut rows = Vec::new();
    let capacity = if nodes { session.get("/api/v1/nodes").await? } else { Value::Null };
    for item in &items {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        let mut head = if of.all_namespaces && !nodes { vec![item["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()] } else { Vec::new() };
        head.push(name.to_owned());
        if nodes {
            let (cpu, memory) = usage(&item["usage"]);
            let node = capacity["items"].as_array().into_iter().flatten().find(|node| node["metadata"]["name"] == name);
            let (all_cpu, all_memory) = usage(node.map_or(&Value::Null, |node| &node["status"]["allocatable"]));
            let percent = |part: f64, all: f64| format!("{}%", if all > 0.0 { (part / all * 100.0) as i64 } else { 0 });
            let (c, m) = shown(cpu, memory);
            head.extend([c, percent(cpu, all_cpu), m, percent(memory, all_memory)]);
            rows.push(Row { cells: head, cpu, memory });
            continue;
        }
        let containers: Vec<(&str, (f64, f64))> =
            item["containers"].as_array().into_iter().flatten().map(|c| (c["name"].as_str().unwrap_or_default(), usage(&c["usage"]))).collect();
        if of.containers {
            for (container, (cpu, memory)) in containers {
                let (c, m) = shown(cpu, memory);
                let cells = head.iter().cloned().chain([container.to_owned(), c, m]).collect();
                rows.push(Row { cells, cpu, memory });
            }
        } else {
            let (cpu, memory) = containers.iter().fold((0.0, 0.0), |(cpu, memory), (_, (c, m))| (cpu + c, memory + m));
            let (c, m) = shown(cpu, memory);
            head.extend([c, m]);
            rows.push(Row { cells: head, cpu, memory });
        }
    }
    if rows.is_empty() {
        eprintln!(
            "{}",
            if of.all_namespaces || nodes { "No resources found".to_owned() } else { format!("No resources found in {} namespace.", session.namespace) }
        );
        return Ok(());
    }
    match of.sort_by.as_str() {
        "cpu" => rows.sort_by(|a, b| b.cpu.total_cmp(&a.cpu)),
        "memory" => rows.sort_by(|a, b| b.memory.total_cmp(&a.memory)),
        _ => rows.sort_by(|a, b| a.cells.cmp(&b.cells)),
    }
    print(of, nodes, &rows);
    Ok(())
}

fn print(of: &Of, nodes: bool, rows: &[Row]) {
    let mut header: Vec<&str> = Vec::new();
    if of.all_namespaces && !nodes {
        header.push("NAMESPACE");
    }
    if of.containers && !nodes {
        header.push("POD");
    }
    header.push("NAME");
    header.extend(if nodes { vec!["CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"] } else { vec!["CPU(cores)", "MEMORY(bytes)"] });
    let mut text = String::new();
    let mut line = |cells: Vec<String>| text.push_str(&cells.iter().map(|cell| format!("{cell}\t")).chain(["\n".to_owned()]).collect::<String>());
    if !of.no_headers {
        line(header.iter().map(|h| (*h).to_owned()).collect());
    }
    rows.iter().for_each(|row| line(row.cells.clone()));
    if of.sum && !nodes {
        let (cpu, memory) = rows.iter().fold((0.0, 0.0), |(c, m), row| (c + row.cpu, m + row.memory));
        let (cpu, memory) = shown(cpu, memory);
        let empty = header.len().saturating_sub(3);
        line(std::iter::repeat_n(String::new(), empty + 1).chain(["________".into(), "________".into()]).collect());
        line(std::iter::repeat_n(String::new(), empty + 1).chain([cpu, memory]).collect());
    }
    out(&TabWriter::table().format(&text));
}
