//! Where the BLAS that the engine links was named by a folder (`OPENBLAS_LIB_DIR` and the others), the program and its
//! tests look for it there, too: Cargo passes a library's linker arguments on to that library's own targets only.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Said by the engine's build script, for whoever depends on it.
    if let Ok(folder) = env::var("DEP_GIBBER_ENGINE_BLAS_FOLDER") {
        println!("cargo::rustc-link-search=native={folder}");
        if env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "unix") {
            println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
        }
    }
}
