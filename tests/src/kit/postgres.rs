//! A `PostgreSQL` cluster for this process, thrown away at its end.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::free_port;

/// Ends with the process that started it, however that ends: the shell waits on a pipe which only that process
/// holds open, then stops the server and removes its files.
const SUPERVISOR: &str = r#""$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 -c fsync=off \
    -c full_page_writes=off -c max_connections=200 >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$2""#;

#[derive(Debug)]
pub(super) struct Cluster {
    binaries: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    created: Mutex<usize>,
    _supervisor: Child,
}

/// The cluster of this process, started by whoever asks first.
pub(super) fn cluster() -> Result<&'static Cluster, String> {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start).as_ref().map_err(Clone::clone)
}

impl Cluster {
    fn start() -> Result<Self, String> {
        let binaries = binaries()?;
        let failed = |what: &str, error: io::Error| format!("cannot {what}: {error}");
        let folder = tempfile::Builder::new().prefix("pollux-postgres-").tempdir();
        let folder = folder.map_err(|error| failed("make a folder for PostgreSQL", error))?;
        let owner = owner(folder.path())?;
        if let Some((uid, gid)) = owner {
            chown(folder.path(), Some(uid), Some(gid))
                .map_err(|error| failed("hand over a folder", error))?;
        }
        let data = folder.path().join("data");
        let mut initdb = as_owner(Command::new(binaries.join("initdb")), owner);
        initdb.arg("-D").arg(&data).args([
            "-U",
            "pollux",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        run(&mut initdb)?;
        let port = free_port();
        let mut shell = as_owner(Command::new("sh"), owner);
        shell.args(["-c", SUPERVISOR, "sh"]).arg(&binaries).arg(folder.path()).arg(port.to_string());
        let supervisor = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed("start PostgreSQL", error))?;
        let folder = folder.keep();
        let cluster = Self { binaries, port, owner, created: Mutex::new(0), _supervisor: supervisor };
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = cluster.psql("SELECT 1") {
            if Instant::now() > end {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(format!("PostgreSQL does not answer: {error}\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    pub(super) fn create_database(&self) -> Result<String, String> {
        // Databases are made one at a time: copying a template excludes other copies.
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        *created += 1;
        let name = format!("pollux_{created}");
        self.psql(&format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        Ok(format!("postgres://pollux@127.0.0.1:{}/{name}", self.port))
    }

    fn psql(&self, statement: &str) -> Result<(), String> {
        let mut psql = as_owner(Command::new(self.binaries.join("psql")), self.owner);
        psql.args(["-h", "127.0.0.1", "-U", "pollux", "-d", "postgres", "-qXc", statement]);
        run(psql.arg("-p").arg(self.port.to_string()))
    }
}

fn binaries() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    packaged.sort();
    folders.extend(packaged.into_iter().rev());
    let complete =
        |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file());
    // A link in PATH is followed: the server finds its files next to where it really is.
    folders.iter().find(|folder| complete(folder)).cloned().ok_or_else(|| {
        "PostgreSQL is asked for, but initdb, postgres and psql are not in PATH nor under /usr/lib/postgresql; \
         tests/install-deps installs them"
            .to_owned()
    })
}

/// `PostgreSQL` refuses to run as root, so root lends it another user's name.
fn owner(folder: &Path) -> Result<Option<(u32, u32)>, String> {
    let own = fs::metadata(folder).map_err(|error| error.to_string())?.uid();
    if own != 0 {
        return Ok(None);
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| error.to_string())?;
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let find = |name: &str| {
        let fields: Vec<_> =
            users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .map(Some)
        .ok_or_else(|| "there is no user to run PostgreSQL as".to_owned())
}

fn as_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot run {name}: {error}"))?;
    let mut complaint = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        let _ = pipe.read_to_string(&mut complaint);
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}: {complaint}")),
        Err(error) => Err(format!("{name} was lost: {error}")),
    }
}
