//! Decides which BLAS is linked, and makes sure that it can be linked before the linker finds out.
//!
//! Exactly one implementation is chosen by a Cargo feature. The engine sees it as `cfg(blas = "openblas")` and so on.
//! The crates behind `blas-src` pass the library to the linker whether it is there or not; a missing one would end in a
//! page of linker output, so that this script looks first and stops with one sentence.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One BLAS that can stand behind `src/blas.rs`.
struct Implementation {
    /// The Cargo feature, and the value of `cfg(blas)`.
    name: &'static str,
    /// What people call it.
    title: &'static str,
    /// Its pkg-config modules; any of them will do.
    modules: &'static [&'static str],
    /// What the linker is asked for.
    libraries: &'static [&'static str],
    /// The environment variable that names its folder.
    folder_variable: &'static str,
    /// What to install for it, for the error where it is not found.
    install: &'static str,
}

const IMPLEMENTATIONS: [Implementation; 5] = [
    Implementation {
        name: "openblas",
        title: "OpenBLAS",
        modules: &["openblas", "openblas64"],
        libraries: &["openblas"],
        folder_variable: "OPENBLAS_LIB_DIR",
        install: "`sudo apt install libopenblas-dev` on Debian and Ubuntu, `sudo dnf install openblas-devel` on Fedora, \
                  `sudo pacman -S openblas` on Arch, `brew install openblas` on macOS",
    },
    Implementation {
        name: "intel-mkl",
        title: "Intel MKL",
        modules: &["mkl-dynamic-lp64-seq"],
        libraries: &["mkl_intel_lp64", "mkl_sequential", "mkl_core"],
        folder_variable: "MKL_LIB_DIR",
        install: "`sudo apt install libmkl-dev` on Debian (non-free) and Ubuntu, elsewhere Intel's oneAPI packages, with \
                  its `setvars.sh` sourced",
    },
    Implementation {
        name: "accelerate",
        title: "Apple's Accelerate",
        modules: &[],
        libraries: &[],
        folder_variable: "",
        install: "",
    },
    Implementation {
        name: "blis",
        title: "BLIS",
        modules: &["blis", "blis-blas"],
        libraries: &["blis"],
        folder_variable: "BLIS_LIB_DIR",
        install: "`sudo apt install libblis-dev` on Debian and Ubuntu, `sudo dnf install blis-devel` on Fedora, \
                  `sudo pacman -S blis` on Arch, `brew install blis` on macOS",
    },
    Implementation {
        name: "netlib",
        title: "the reference BLAS of Netlib",
        modules: &["blas-netlib", "blas"],
        libraries: &["blas"],
        folder_variable: "NETLIB_LIB_DIR",
        install: "`sudo apt install libblas-dev` on Debian and Ubuntu, `sudo dnf install blas-devel` on Fedora, \
                  `sudo pacman -S blas` on Arch, `brew install lapack` on macOS",
    },
];

fn main() {
    let names = IMPLEMENTATIONS.map(|implementation| format!("\"{}\"", implementation.name)).join(", ");
    println!("cargo::rustc-check-cfg=cfg(blas, values({names}))");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(sentence) = choose().and_then(|chosen| {
        println!("cargo::rustc-cfg=blas=\"{}\"", chosen.name);
        // The documentation is built without anything linked, on a machine that has no BLAS.
        if env::var_os("DOCS_RS").is_some() { Ok(()) } else { link(chosen) }
    }) {
        println!("cargo::error={sentence}");
    }
}

/// The one implementation that the features ask for.
fn choose() -> Result<&'static Implementation, String> {
    let macos = target("OS") == "macos";
    let default = if macos { "accelerate" } else { "openblas" };
    let by_default = feature("default-blas");
    let chosen: Vec<_> = IMPLEMENTATIONS
        .iter()
        .filter(|implementation| feature(implementation.name) || by_default && implementation.name == default)
        .collect();
    match chosen[..] {
        [one] if one.name == "accelerate" && !macos => {
            Err("the feature `accelerate` links Apple's Accelerate, which only macOS has: choose another BLAS, for \
                 instance `openblas`"
                .to_owned())
        }
        [one] => Ok(one),
        [] => Err("no BLAS was chosen: enable exactly one of the features `openblas`, `intel-mkl`, `accelerate`, \
                   `blis` and `netlib`, for instance `--no-default-features --features openblas`"
            .to_owned()),
        _ => {
            let names: Vec<_> = chosen.iter().map(|implementation| format!("`{}`", implementation.name)).collect();
            Err(format!(
                "exactly one BLAS can be linked, but {} are chosen: leave the default `{default}` out with \
                 `--no-default-features` and name one",
                names.join(" and ")
            ))
        }
    }
}

/// Tells the linker where `chosen` is, or says how to get it.
fn link(chosen: &Implementation) -> Result<(), String> {
    for variable in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR", "LIBRARY_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if chosen.libraries.is_empty() {
        return Ok(());
    }
    println!("cargo::rerun-if-env-changed={}", chosen.folder_variable);
    let in_folder = match env::var_os(chosen.folder_variable).filter(|folder| !folder.is_empty()) {
        Some(folder) => {
            link_from(&PathBuf::from(folder), chosen)?;
            true
        }
        None => false,
    };
    if linked_here(chosen) {
        println!("cargo::rustc-link-lib=dylib={}", chosen.libraries[0]);
    }
    if in_folder || known_to_pkg_config(chosen) || links(chosen) {
        return Ok(());
    }
    Err(format!(
        "{} was not found: install it ({}), or set {} to the folder that holds {}",
        chosen.title,
        chosen.install,
        chosen.folder_variable,
        file_name(chosen.libraries[0])
    ))
}

/// Links `chosen` from `folder`, and lets the program find it there when it runs.
fn link_from(folder: &Path, chosen: &Implementation) -> Result<(), String> {
    let folder = folder.canonicalize().map_err(|error| {
        format!("{} names {}, which cannot be read: {error}", chosen.folder_variable, folder.display())
    })?;
    for library in chosen.libraries {
        let found = ["so", "dylib", "dll.a", "a", "lib"].iter().any(|extension| {
            folder.join(format!("lib{library}.{extension}")).exists()
                || folder.join(format!("{library}.{extension}")).exists()
        });
        if !found {
            return Err(format!(
                "{} names {}, where there is no {} (nor a static library of that name)",
                chosen.folder_variable,
                folder.display(),
                file_name(library)
            ));
        }
    }
    // For the build scripts of those who link a program with the engine: it is theirs that has to find the library.
    println!("cargo::metadata=FOLDER={}", folder.display());
    // Cargo puts a package's own folders before those of its dependencies, so that this one wins over pkg-config's.
    println!("cargo::rustc-link-search=native={}", folder.display());
    if target("FAMILY") == "unix" {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
    Ok(())
}

fn known_to_pkg_config(chosen: &Implementation) -> bool {
    chosen.modules.iter().any(|module| {
        // Debian's reference BLAS answers from a folder of its own; the crates of OpenBLAS and MKL ask again.
        let mut search = pkg_config::Config::new();
        search.cargo_metadata(false).probe(module).is_ok_and(|library| {
            for folder in &library.link_paths {
                println!("cargo::rustc-link-search=native={}", folder.display());
            }
            true
        })
    })
}

/// Whether no crate passes the library on to the linker. Netlib's own crate also wants LAPACK and a Fortran compiler, of
/// which nothing is used here; OpenBLAS's stops on a Mac without Homebrew before this script is asked.
fn linked_here(chosen: &Implementation) -> bool {
    chosen.name == "netlib" || chosen.name == "openblas" && target("OS") == "macos"
}

/// Whether the linker finds the library by itself, in one of the folders it always looks in.
fn links(chosen: &Implementation) -> bool {
    if env::var("HOST") != env::var("TARGET") {
        return true;
    }
    // Homebrew keeps OpenBLAS out of the folders that the linker knows.
    let homebrew = [format!("/opt/homebrew/opt/{}/lib", chosen.name), format!("/usr/local/opt/{}/lib", chosen.name)];
    if let Some(folder) = homebrew.iter().find(|folder| target("OS") == "macos" && Path::new(folder).is_dir()) {
        println!("cargo::rustc-link-search=native={folder}");
        return true;
    }
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else { return true };
    let source = out.join("probe.c");
    if std::fs::write(&source, "int main(void) { return 0; }\n").is_err() {
        return true;
    }
    let mut compiler = Command::new("cc");
    compiler.arg(&source).arg("-o").arg(out.join("probe")).stdout(Stdio::null()).stderr(Stdio::null());
    for library in chosen.libraries {
        compiler.arg(format!("-l{library}"));
    }
    // Without a C compiler Rust cannot link either, and says so well enough.
    compiler.status().map_or(true, |status| status.success())
}

/// The file that a library is linked from on the target.
fn file_name(library: &str) -> String {
    match target("OS").as_str() {
        "macos" => format!("lib{library}.dylib"),
        "windows" => format!("{library}.lib"),
        _ => format!("lib{library}.so"),
    }
}

fn feature(name: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))).is_some()
}

fn target(what: &str) -> String {
    env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default()
}
