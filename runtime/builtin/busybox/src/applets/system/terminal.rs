//! `tty`, `clear`, `reset`, `stty`.

use crate::context::{Context, Result};

/// `tty [-s]`
pub async fn tty(cx: &mut Context) -> Result {
    let silent = cx.options("s", &[])?.has('s');
    let terminal = cx.stdin.is_terminal();
    if !silent {
        cx.stdout.write(if terminal { "/dev/console\n" } else { "not a tty\n" }).await?;
    }
    Ok(i32::from(!terminal))
}

/// `clear`
pub async fn clear(cx: &mut Context) -> Result {
    cx.stdout.write("\x1b[H\x1b[J").await?;
    Ok(0)
}

/// `reset`
pub async fn reset(cx: &mut Context) -> Result {
    cx.stdout.write("\x1bc\x1b(B\x1b[m\x1b[J\x1b[?25h").await?;
    Ok(0)
}
