//! What a container finds when it starts, apart from its image: environment, arguments, `/etc/hosts`, `/etc/resolv.conf`. Pure.

pub mod downward;
pub mod env;
pub mod etc;
pub mod expand;
