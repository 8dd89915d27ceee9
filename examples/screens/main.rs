//! Records the pictures of the README: plays keys into the real program on a pseudo-terminal, and writes what is on its
//! screen as SVG.
//!
//! `cargo build --release && cargo run --release --example screens` writes every scene to `assets/screens`;
//! `cargo run --release --example screens -- NAME` writes one. What is drawn is what the program wrote; only waiting is
//! shortened.

mod recorder;
mod scenes;
mod svg;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use recorder::Recorder;

fn main() -> Result<()> {
    let wanted = std::env::args().nth(1);
    let scenes: Vec<_> =
        scenes::SCENES.iter().filter(|scene| wanted.as_deref().is_none_or(|w| w == scene.name)).collect();
    if scenes.is_empty() {
        let names: Vec<_> = scenes::SCENES.iter().map(|scene| scene.name).collect();
        bail!("there is no scene {}: there are {}", wanted.unwrap_or_default(), names.join(", "));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screens");
    std::fs::create_dir_all(&folder)?;
    for scene in scenes {
        let mut recorder = Recorder::start(&program()?, scene.arguments, scene.size)?;
        for step in scene.steps {
            recorder.play(step).with_context(|| format!("in the scene {}", scene.name))?;
        }
        let frames = recorder.end();
        let picture = if scene.moves { svg::moving(&frames) } else { svg::still(frames.last().context("no frame")?) };
        std::fs::write(folder.join(format!("{}.svg", scene.name)), picture)?;
    }
    Ok(())
}

/// The program beside this one: `target/PROFILE/examples/screens` and `target/PROFILE/gibber`.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("this program lies in no folder")?;
    let program = folder.join("gibber");
    if !program.exists() {
        bail!("{} is not there: build it first, in the same profile", program.display());
    }
    Ok(program)
}
