//! Installed, in guests that boot: Debian 11, 12 and 13 with a real systemd.

mod inside;
mod life;
mod packages;
mod score;
mod services;
