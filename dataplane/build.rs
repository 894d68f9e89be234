// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the kernel programs (`dataplane-ebpf`) and leaves the object at `$OUT_DIR/shunt.bpf.o`, for
//! `include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shunt.bpf.o"))`.
//!
//! Without bpf-linker or the standard library's source the object is an **empty file** and one warning says so:
//! `cargo check`, clippy and the host tests need neither. `docs/adr/0002-build-the-kernel-object-in-build-rs.md`
//! tells why this is not aya-build.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const TARGET: &str = "bpfel-unknown-none";
const OBJECT: &str = "shunt.bpf.o";
const SKIP: &str = "SHUNT_SKIP_EBPF";
/// The folder `library` of the pinned Rust's source, for machines whose toolchain has none and which have no network.
const RUST_SRC: &str = "SHUNT_RUST_SRC";
/// What decides the object: a change in any of these builds it again.
const SOURCES: [&str; 6] = [
    "dataplane-common/src",
    "dataplane-common/Cargo.toml",
    "dataplane-ebpf/src",
    "dataplane-ebpf/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kernel programs not built: {error}\n{SKIP}=1 builds the agent without them");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = package.parent().ok_or("the package is not inside a workspace")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed={SKIP}");
    println!("cargo::rerun-if-env-changed={RUST_SRC}");
    println!("cargo::rerun-if-env-changed=PATH");

    let object = out_dir.join(OBJECT);
    if env::var_os(SKIP).is_some_and(|skip| !skip.is_empty()) {
        println!("cargo::warning={SKIP} is set: shunt is built without its kernel programs");
        return Ok(fs::write(object, [])?);
    }
    let tools = match Tools::find(root)? {
        Ok(tools) => tools,
        Err(missing) => {
            println!(
                "cargo::warning={missing} is missing, so shunt is built without its kernel programs: \
                 run `cargo xtask setup`"
            );
            return Ok(fs::write(object, [])?);
        }
    };
    let built = tools.build(root, &target_dir(&out_dir))?;
    fs::copy(&built, object).map_err(|error| format!("copy {}: {error}", built.display()))?;
    Ok(())
}

/// What the build needs and a Rust installation may lack. `cargo xtask setup` provides both.
struct Tools {
    linker: PathBuf,
    /// Set if the standard library's source is not in the toolchain, where cargo looks by itself.
    library: Option<PathBuf>,
}

impl Tools {
    /// The tools, or the name of the one that is missing. A path that is looked for and absent makes cargo run this
    /// script again at the next build: so a tool that appears is seen.
    fn find(root: &Path) -> Result<Result<Self, &'static str>, Box<dyn Error>> {
        let Some(linker) = linker(&root.join("target/tools/bin")) else {
            return Ok(Err("bpf-linker"));
        };
        let given = env::var_os(RUST_SRC)
            .filter(|given| !given.is_empty())
            .map(PathBuf::from);
        let library = match &given {
            Some(given) => given.clone(),
            None => sysroot()?.join("lib/rustlib/src/rust/library"),
        };
        if !watched(&library.join("Cargo.lock")) {
            return Ok(Err("rust-src"));
        }
        Ok(Ok(Self {
            linker,
            library: given,
        }))
    }

    /// Runs cargo for the kernel programs and returns the object's path.
    fn build(&self, root: &Path, target_dir: &Path) -> Result<PathBuf, Box<dyn Error>> {
        let mut cargo = Command::new(variable("CARGO")?);
        cargo
            .current_dir(root)
            .args([
                "build",
                "--quiet",
                "--package",
                "dataplane-ebpf",
                "--bins",
                "--profile",
                "bpf",
            ])
            .args(["--target", TARGET, "-Z", "build-std=core"])
            .args(["--message-format", "json-render-diagnostics"])
            // Its own target directory: cargo holds a lock on the outer one while this script runs.
            .arg("--target-dir")
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags()?)
            // Opens `-Z build-std` on the pinned stable toolchain, for this build alone.
            .env("RUSTC_BOOTSTRAP", "1")
            // Set by `cargo clippy` and by caches: they are for the host's build.
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(library) = &self.library {
            // Cargo knows no other way to a standard library outside the toolchain, which may be read-only. The name
            // is not documented, but the toolchain is pinned: a change would show in the first build of a new one.
            cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
        }
        let output = cargo.output().map_err(|error| format!("run cargo: {error}"))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("cargo {}\n{stderr}", output.status).into());
        }
        for line in stderr.lines() {
            println!("cargo::warning={line}");
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = messages
            .lines()
            .find_map(executable)
            .ok_or("cargo named no executable")?;
        Ok(PathBuf::from(executable))
    }

    fn rustflags(&self) -> Result<String, Box<dyn Error>> {
        let arch = variable("CARGO_CFG_TARGET_ARCH")?;
        let linker = self.linker.to_str().ok_or("bpf-linker's path is not UTF-8")?;
        Ok([
            format!("--cfg=bpf_target_arch=\"{arch}\""),
            format!("-Clinker={linker}"),
            "-Clink-arg=--btf".to_owned(),
            // Memory is cleared and copied in place. Otherwise the linker has LLVM call `memset`, a loop over bytes,
            // even for 16 of them: two of these calls took a third of an established packet's time.
            "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
            // 32-bit registers and jumps. Every kernel we run on (5.15 and later) has them.
            "-Ctarget-cpu=v3".to_owned(),
        ]
        .join("\u{1f}"))
    }
}

fn linker(own: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(own.to_owned())
        .chain(env::split_paths(&path))
        .map(|folder| folder.join("bpf-linker"))
        .find(|candidate| {
            let found = candidate.is_file();
            if found || candidate.starts_with(own) {
                watched(candidate);
            }
            found
        })
}

fn sysroot() -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "sysroot"])
        .output()?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// Whether the file is there; either way cargo runs this script again when that changes.
fn watched(file: &Path) -> bool {
    println!("cargo::rerun-if-changed={}", file.display());
    file.exists()
}

/// `target/bpf`, found from `target/PROFILE/build/PACKAGE-HASH/out`, so that debug and release builds share one
/// object: `core` alone takes half a minute.
fn target_dir(out_dir: &Path) -> PathBuf {
    out_dir.ancestors().nth(4).unwrap_or(out_dir).join("bpf")
}

/// The path in a cargo message that says an executable was made.
fn executable(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    rest.split_once('"').map(|(path, _)| path)
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var_os(name)
        .as_deref()
        .and_then(OsStr::to_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("{name} is not set to UTF-8 text by cargo").into())
}
