//! `env [-i0] [-u NAME]… [NAME=VALUE]… [PROG ARGS]`

use crate::context::{Context, Result};

pub async fn env(cx: &mut Context) -> Result {
    let options = cx.options("+iu:0", &[("ignore-environment", 'i'), ("unset", 'u'), ("null", '0')])?;
    let mut operands = options.operands.iter().peekable();
    let mut env = if options.has('i') { Default::default() } else { cx.env.clone() };
    if operands.next_if(|operand| *operand == "-").is_some() {
        env.clear();
    }
    for name in options.values('u') {
        env.remove(name);
    }
    while let Some((name, value)) = operands.peek().and_then(|operand| operand.split_once('=')) {
        env.insert(name.into(), value.into());
        operands.next();
    }
    if operands.peek().is_some() {
        let mut changed = cx.clone();
        changed.env = env;
        return Ok(changed.execute(operands).await);
    }
    let end = if options.has('0') { '\0' } else { '\n' };
    for (name, value) in &env {
        cx.stdout.write(format!("{name}={value}{end}")).await?;
    }
    Ok(0)
}
