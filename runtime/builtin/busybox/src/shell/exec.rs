//! Running commands.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ast::{AndOr, Command, Kind, List, Pipeline, Word};
use super::builtins::{self, Done};
use super::jobs::Job;
use super::parse::Parser;
use super::redirect::Saved;
use super::state::{DEEPEST, Fault, Flow, Shell};
use crate::applets;
use crate::io::{Descriptor, Output, pipe};
use crate::rt::{self, Boxed};

impl Shell {
    /// Runs a text, command by command: what stands before a syntax error has run.
    pub async fn run_text(&mut self, text: &str) -> Flow {
        let mut parser = Parser::new(text, 1, true);
        loop {
            let before = self.line;
            parser.set_aliases(&self.aliases);
            match parser.line_of_commands() {
                Ok(None) => return Flow::Next,
                Ok(Some(list)) => {
                    if self.options.noexec && !self.options.interactive {
                        continue;
                    }
                    let flow = self.list(&list).await;
                    if flow != Flow::Next {
                        return flow;
                    }
                }
                Err(error) => {
                    let (message, line) = match error {
                        super::parse::Syntax::Wrong { message, line } => (message, line),
                        super::parse::Syntax::Incomplete => ("syntax error: unexpected end of file".into(), parser.line()),
                    };
                    self.line = line;
                    self.complain(None, &message).await;
                    self.line = before;
                    self.status = 2;
                    return Flow::Abort;
                }
            }
        }
    }

    /// Runs a list as a subshell does, to its exit code.
    pub async fn run_subshell(&mut self, list: &List) -> i32 {
        self.list(list).await;
        self.finish().await
    }

    /// The end of a shell: its EXIT trap, and its exit code.
    pub async fn finish(&mut self) -> i32 {
        if let Some(action) = self.traps.remove(&0).filter(|action| !action.is_empty()) {
            let status = self.status;
            if self.run_text(&action).await != Flow::Exit {
                self.status = status;
            }
        }
        let _ = self.cx.stdout.flush().await;
        self.status & 0xff
    }

    pub fn list<'a>(&'a mut self, list: &'a List) -> Boxed<'a, Flow> {
        Box::pin(async move {
            for item in list {
                if self.cx.signals.has_pending() {
                    let flow = self.run_traps().await;
                    if flow != Flow::Next {
                        return flow;
                    }
                }
                if item.background {
                    self.start(item.and_or.clone());
                    continue;
                }
                let flow = self.and_or(&item.and_or).await;
                if flow != Flow::Next {
                    return flow;
                }
            }
            if self.cx.signals.has_pending() { self.run_traps().await } else { Flow::Next }
        })
    }

    /// What `trap` asked for, for each signal that came.
    pub async fn run_traps(&mut self) -> Flow {
        while let Some(signal) = self.cx.signals.take() {
            let Some(action) = self.traps.get(&signal).cloned() else {
                if self.options.interactive && signal == crate::signals::INT {
                    self.status = 130;
                    return Flow::Abort;
                }
                continue;
            };
            let status = self.status;
            let flow = self.run_text(&action).await;
            match flow {
                Flow::Next => self.status = status,
                other => return other,
            }
        }
        Flow::Next
    }

    fn start(&mut self, and_or: Rc<AndOr>) {
        let mut sub = self.subshell();
        sub.cx.stdin = Descriptor::null();
        sub.jobs.clear();
        sub.ends = and_or.is_one_command();
        let signals = sub.cx.signals.clone();
        for signal in [crate::signals::INT, crate::signals::QUIT] {
            signals.ignore(signal);
        }
        let job = Job::start(signals, async move {
            sub.and_or(&and_or).await;
            sub.finish().await
        });
        self.last_job = Some(job.pid());
        self.jobs.push(job);
        self.status = 0;
    }

    async fn and_or(&mut self, and_or: &AndOr) -> Flow {
        if and_or.rest.is_empty() {
            return self.pipeline(&and_or.first, false).await;
        }
        let last = and_or.rest.len();
        let mut flow = self.pipeline(&and_or.first, true).await;
        for (index, (and, pipeline)) in and_or.rest.iter().enumerate() {
            if flow != Flow::Next {
                break;
            }
            if *and == (self.status == 0) {
                flow = self.pipeline(pipeline, index + 1 < last).await;
            }
        }
        flow
    }

    async fn pipeline(&mut self, pipeline: &Pipeline, tested: bool) -> Flow {
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(64) {
            rt::pause().await;
        }
        let quiet = u32::from(tested || pipeline.negated);
        self.tested += quiet;
        let (flow, counts) = match pipeline.stages.as_slice() {
            [command] => (self.command(command).await, matches!(command.kind, Kind::Simple { .. } | Kind::Subshell(_) | Kind::Test(_))),
            stages => (self.stages(stages).await, true),
        };
        self.tested -= quiet;
        if pipeline.negated {
            self.status = i32::from(self.status == 0);
        } else if flow == Flow::Next && counts && self.options.errexit && !tested && self.tested == 0 && self.status != 0 {
            return Flow::Exit;
        }
        flow
    }

    /// Each stage is a task, with pipes between them.
    async fn stages(&mut self, stages: &[Rc<Command>]) -> Flow {
        let mut tasks = Vec::new();
        let mut input = None;
        for (index, command) in stages.iter().enumerate() {
            let mut sub = self.subshell();
            if let Some(input) = input.take() {
                sub.cx.stdin = input;
            }
            if index + 1 < stages.len() {
                let (reader, writer) = pipe();
                input = Some(reader);
                sub.cx.stdout = Output::new(writer);
            }
            sub.ends = true;
            let command = command.clone();
            tasks.push(rt::spawn(async move {
                sub.command(&command).await;
                sub.finish().await
            }));
        }
        let mut failed = 0;
        for task in tasks {
            self.status = task.await;
            if self.status != 0 {
                failed = self.status;
            }
        }
        if self.options.pipefail {
            self.status = failed;
        }
        Flow::Next
    }

    pub fn command<'a>(&'a mut self, command: &'a Command) -> Boxed<'a, Flow> {
        Box::pin(async move {
            let ends = std::mem::take(&mut self.ends);
            if let Kind::Simple { assignments, words } = &command.kind {
                self.line = command.line;
                return match self.simple(command, assignments, words, ends).await {
                    Ok(flow) => flow,
                    Err(fault) => self.failed(None, fault).await,
                };
            }
            if command.redirects.is_empty() {
                return self.compound(&command.kind, ends).await;
            }
            self.line = command.line;
            match self.redirect(&command.redirects).await {
                Ok(mut saved) => {
                    if ends {
                        saved = Saved::default();
                    }
                    let flow = self.compound(&command.kind, ends).await;
                    self.restore_descriptors(saved);
                    flow
                }
                Err(fault) => {
                    let flow = self.failed(None, fault).await;
                    // Unlike a word's error, this one only fails the command.
                    if flow == Flow::Abort && self.options.errexit && self.tested == 0 { Flow::Exit } else { flow }
                }
            }
        })
    }

    /// Tells what went wrong, and whether the shell goes on.
    pub async fn failed(&mut self, builtin: Option<&str>, fault: Fault) -> Flow {
        if !fault.message.is_empty() {
            self.complain(builtin, &fault.message).await;
        }
        self.status = fault.status;
        if fault.fatal { Flow::Abort } else { Flow::Next }
    }

    async fn compound(&mut self, kind: &Kind, ends: bool) -> Flow {
        match kind {
            Kind::Simple { .. } => Flow::Next,
            Kind::Group(list) => self.last(list, ends).await,
            Kind::Subshell(list) if ends => self.last(list, ends).await,
            Kind::Subshell(list) => {
                let mut sub = self.subshell();
                self.status = sub.run_subshell(list).await;
                Flow::Next
            }
            Kind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    let flow = self.condition(condition).await;
                    if flow != Flow::Next {
                        return flow;
                    }
                    if self.status == 0 {
                        return self.list(body).await;
                    }
                }
                self.status = 0;
                self.list(otherwise).await
            }
            Kind::For { name, words, body } => self.repeat(name, words.as_deref(), body).await,
            Kind::While { until, condition, body } => self.repeat_while(*until, condition, body).await,
            Kind::Case { word, arms } => {
                let value = match self.text(word).await {
                    Ok(value) => value,
                    Err(fault) => return self.failed(None, fault).await,
                };
                self.status = 0;
                let mut falls = false;
                for arm in arms {
                    let mut hit = falls;
                    for pattern in &arm.patterns {
                        if hit {
                            break;
                        }
                        match self.pattern(pattern).await {
                            Ok(pattern) => hit = pattern.matches(&value),
                            Err(fault) => return self.failed(None, fault).await,
                        }
                    }
                    if hit {
                        let flow = self.list(&arm.body).await;
                        if flow != Flow::Next || !arm.falls {
                            return flow;
                        }
                        falls = true;
                    }
                }
                Flow::Next
            }
            Kind::Test(condition) => match self.holds(condition).await {
                Ok(holds) => {
                    self.status = i32::from(!holds);
                    Flow::Next
                }
                Err(fault) => self.failed(None, fault).await,
            },
            Kind::Function { name, body } => {
                Rc::make_mut(&mut self.functions).insert(name.clone(), body.clone());
                self.status = 0;
                Flow::Next
            }
        }
    }

    /// A list, after which the shell may end.
    fn last<'a>(&'a mut self, list: &'a List, ends: bool) -> Boxed<'a, Flow> {
        self.ends = ends && matches!(list.as_slice(), [only] if !only.background && only.and_or.is_one_command());
        self.list(list)
    }

    async fn condition(&mut self, list: &List) -> Flow {
        self.tested += 1;
        let flow = self.list(list).await;
        self.tested -= 1;
        flow
    }

    async fn repeat(&mut self, name: &str, words: Option<&[Word]>, body: &List) -> Flow {
        let values = match words {
            None => self.args.to_vec(),
            Some(words) => match self.words(words).await {
                Ok(values) => values,
                Err(fault) => return self.failed(None, fault).await,
            },
        };
        self.status = 0;
        self.loops += 1;
        let mut end = Flow::Next;
        for value in values {
            if let Err(fault) = self.set(name, value) {
                end = self.failed(None, fault).await;
                break;
            }
            let flow = self.list(body).await;
            if let Some(flow) = after_turn(flow) {
                end = flow;
                break;
            }
        }
        self.loops -= 1;
        end
    }

    async fn repeat_while(&mut self, until: bool, condition: &List, body: &List) -> Flow {
        self.loops += 1;
        let mut status = 0;
        let end = loop {
            let flow = self.condition(condition).await;
            if flow == Flow::Next {
                if (self.status == 0) == until {
                    self.status = status;
                    break Flow::Next;
                }
                let flow = self.list(body).await;
                status = self.status;
                if let Some(flow) = after_turn(flow) {
                    break flow;
                }
            } else if let Some(flow) = after_turn(flow) {
                break flow;
            }
        };
        self.loops -= 1;
        end
    }

    async fn simple(&mut self, command: &Command, assignments: &[(String, Word)], words: &[Word], ends: bool) -> Result<Flow, Fault> {
        self.substituted = 0;
        let words = self.words_of(words).await?;
        let Some(name) = words.first() else {
            let saved = self.redirect(&command.redirects).await;
            if let Ok(saved) = saved {
                self.restore_descriptors(saved);
            } else if let Err(fault) = saved {
                return Ok(self.failed(None, fault).await);
            }
            let mut shown = Vec::new();
            for (name, word) in assignments {
                let value = self.assigned(word).await?;
                if self.options.xtrace {
                    shown.push(format!("{name}={}", builtins::quoted(&value)));
                }
                self.set(name, value)?;
            }
            self.trace(&shown, &[]).await;
            self.status = self.substituted;
            return Ok(Flow::Next);
        };
        let function = self.functions.get(name).cloned();
        let special = builtins::is_special(name) && function.is_none();
        let saved = match self.redirect(&command.redirects).await {
            Ok(_) if ends => Saved::default(),
            Ok(saved) => saved,
            Err(mut fault) => {
                fault.fatal |= special && name != ":";
                return Ok(self.failed(None, fault).await);
            }
        };
        let mut values = Vec::new();
        for (name, word) in assignments {
            match self.assigned(word).await {
                Ok(value) => values.push((name.clone(), value)),
                Err(fault) => {
                    self.restore_descriptors(saved);
                    return Err(fault);
                }
            }
        }
        if self.options.xtrace {
            let shown: Vec<String> = values.iter().map(|(name, value)| format!("{name}={}", builtins::quoted(value))).collect();
            self.trace(&shown, &words).await;
        }
        // `exec` without a command keeps its redirections.
        let keeps = name == "exec" && words.len() == 1;
        let flow = match self.call(function, &words, values).await {
            Ok((status, flow)) => {
                self.status = status;
                flow
            }
            Err(fault) => self.failed(Some(name).filter(|name| builtins::find(name).is_some()).map(String::as_str), fault).await,
        };
        if keeps {
            drop(saved)
        } else {
            self.restore_descriptors(saved)
        }
        Ok(flow)
    }

    /// Words of a command; those of `export` and its like that assign are not split.
    async fn words_of(&mut self, words: &[Word]) -> Result<Vec<String>, Fault> {
        let declares = words.first().and_then(|word| super::ast::literal(word)).is_some_and(|name| matches!(name, "export" | "readonly" | "local"));
        if !declares {
            return self.words(words).await;
        }
        let mut all = Vec::new();
        for word in words {
            match super::parse::assignment(word) {
                Some((name, value)) => all.push(format!("{name}={}", self.assigned(&value).await?)),
                None => all.extend(self.words(std::slice::from_ref(word)).await?),
            }
        }
        Ok(all)
    }

    /// `set -x`
    async fn trace(&mut self, assignments: &[String], words: &[String]) {
        if !self.options.xtrace {
            return;
        }
        let prefix = self.get("PS4").unwrap_or("+ ").to_string();
        self.options.xtrace = false;
        let prefix = match super::lex::Lexer::document(&prefix, self.line) {
            Ok(word) => self.text(&[super::ast::Part::Double(word)]).await.unwrap_or(prefix),
            Err(_) => prefix,
        };
        self.options.xtrace = true;
        let all: Vec<String> = assignments.iter().cloned().chain(words.iter().map(|word| builtins::quoted(word))).collect();
        let _ = self.cx.stderr.write_all(format!("{prefix}{}\n", all.join(" ")).as_bytes()).await;
    }

    /// Runs a command by its words: function, builtin, applet or file.
    async fn call(&mut self, function: Option<Rc<Command>>, words: &[String], values: Vec<(String, String)>) -> Done {
        if let Some(body) = function {
            let before = self.assign_for_now(values)?;
            let done = self.call_function(&body, &words[1..]).await;
            self.forget(before);
            return done;
        }
        if let Some(builtin) = builtins::find(&words[0]) {
            if builtins::is_special(&words[0]) {
                for (name, value) in values {
                    self.set(&name, value)?;
                }
                return builtin(self, words).await;
            }
            let before = self.assign_for_now(values)?;
            let done = builtin(self, words).await;
            self.forget(before);
            return done;
        }
        self.external(words, values).await
    }

    /// Runs an applet or a file.
    pub async fn external(&mut self, words: &[String], values: Vec<(String, String)>) -> Done {
        // These look at nothing that is exported.
        let inside = matches!(words[0].as_str(), "echo" | "printf" | "test" | "[" | "true" | "false" | "pwd");
        let mut env = if inside { BTreeMap::new() } else { self.environment() };
        for (name, value) in values {
            if self.variables.get(&name).is_some_and(|variable| variable.readonly) {
                return Err(Fault::fatal(format!("{name}: is read only")));
            }
            env.insert(name, value);
        }
        let mut child = self.process(words.to_vec(), env);
        child.speaker = inside.then_some("sh");
        if applets::find(&words[0]).is_none() {
            return match super::script::locate(&child, self.get("PATH").unwrap_or_default(), &words[0]) {
                Ok(path) => Ok((super::script::run(child, &path).await, Flow::Next)),
                Err(fault) => {
                    self.complain(None, &fault.message).await;
                    Ok((fault.status, Flow::Next))
                }
            };
        }
        let status = child.run().await;
        // What is built in dies with the shell that it is in, when nobody reads any more.
        let flow = if inside && status == 141 { Flow::Exit } else { Flow::Next };
        Ok((status, flow))
    }

    fn assign_for_now(&mut self, values: Vec<(String, String)>) -> Result<Vec<(String, Option<super::state::Variable>)>, Fault> {
        let mut before = Vec::new();
        for (name, value) in values {
            before.push((name.clone(), self.variables.get(&name).cloned()));
            self.set(&name, value)?;
            self.attributes(&name).exported = true;
        }
        Ok(before)
    }

    fn forget(&mut self, before: Vec<(String, Option<super::state::Variable>)>) {
        for (name, variable) in before.into_iter().rev() {
            self.restore(name, variable);
        }
    }

    async fn call_function(&mut self, body: &Command, args: &[String]) -> Done {
        if self.depth >= DEEPEST {
            return Err(Fault::fatal("too deep recursion"));
        }
        let args = std::mem::replace(&mut self.args, Rc::new(args.to_vec()));
        let loops = std::mem::take(&mut self.loops);
        self.locals.push(Vec::new());
        self.depth += 1;
        self.returns += 1;
        let flow = self.command(body).await;
        self.returns -= 1;
        self.depth -= 1;
        for (name, variable) in self.locals.pop().unwrap_or_default().into_iter().rev() {
            self.restore(name, variable);
        }
        self.loops = loops;
        self.args = args;
        Ok((self.status, if flow == Flow::Return { Flow::Next } else { flow }))
    }
}

/// What a loop does after a turn: `None` goes on.
fn after_turn(flow: Flow) -> Option<Flow> {
    match flow {
        Flow::Next | Flow::Continue(0 | 1) => None,
        Flow::Break(0 | 1) => Some(Flow::Next),
        Flow::Break(levels) => Some(Flow::Break(levels - 1)),
        Flow::Continue(levels) => Some(Flow::Continue(levels - 1)),
        other => Some(other),
    }
}
