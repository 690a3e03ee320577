//! Programs that give secrets or hosts: run only if nobody else can have written them, as files are read.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::files::{self, Refused};

/// Most links that lead on to another name, as Linux has it.
const MOST_LINKS: usize = 40;

/// The program that the first word names, by the path under which it was found and looked at. The other words may name files, such as
/// a script for an interpreter: those are looked at, too. Else what is wrong, and with which file.
pub(crate) fn sound(argv: &[String]) -> Result<PathBuf, String> {
    let Some((program, words)) = argv.split_first() else { return Ok(PathBuf::new()) };
    let found = match files::program(program) {
        Ok(found) => found,
        // What cannot be found cannot be run either, and the system says so.
        Err(Refused::Missing) => return Ok(PathBuf::from(program)),
        Err(problem) => return Err(format!("{program}: {problem}")),
    };
    for word in words {
        let path = Path::new(word);
        if path.is_absolute() && path.is_file() {
            unchanged_by_others(path).map_err(|problem| format!("{word}: {problem}"))?;
        }
    }
    Ok(found)
}

/// Looks at a file, at every link on the way to it, and at all folders above them.
pub(crate) fn unchanged_by_others(path: &Path) -> Result<(), String> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path} cannot be looked at: {error}")
    };
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let real = folder.canonicalize().map_err(unreadable(&folder))?;
        for above in folder.ancestors().chain(real.ancestors()) {
            folder_of_ours(above)?;
        }
        let data = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
        if !data.is_symlink() {
            return files::owned(&data).map_err(|refused| refused.to_string());
        }
        let leads = fs::read_link(&path).map_err(unreadable(&path))?;
        path = real.join(leads);
    }
    Err(format!("{} is a link that leads on without end", path.display()))
}

/// Refuses a folder in which others could put another file in the place of ours.
fn folder_of_ours(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    let data =
        fs::metadata(folder).map_err(|error| format!("{shown} cannot be looked at: {error}"))?;
    let mode = data.permissions().mode();
    // In a sticky folder (/tmp) others cannot replace our file.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let mode = mode & 0o777;
        return Err(format!(
            "its folder {shown} can be written by others (mode {mode:03o}); run chmod go-w on it"
        ));
    }
    let me = rustix::process::geteuid().as_raw();
    if data.uid() != me && data.uid() != 0 {
        return Err(format!("its folder {shown} belongs to another user"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Every place that others could change what is run at, one after the other.
    #[test]
    fn a_program_is_run_only_if_nobody_else_can_have_written_it() {
        let root = tempfile::tempdir().unwrap();
        let (above, folder) = (root.path().join("a"), root.path().join("a/b"));
        let (program, script) = (folder.join("program"), folder.join("script"));
        let elsewhere = root.path().join("links");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let link = elsewhere.join("link");
        symlink(&program, &link).unwrap();
        for path in [&program, &script] {
            fs::write(path, "#!/bin/sh\n").unwrap();
        }
        let set = || {
            [&above, &folder, &program, &elsewhere].iter().for_each(|path| mode(path, 0o755));
            mode(&script, 0o644);
        };
        let words = |words: &[&Path]| -> Vec<String> {
            words.iter().map(|word| word.display().to_string()).collect()
        };
        let forms = [words(&[&program]), words(&[&link]), words(&[Path::new("/bin/sh"), &script])];
        set();
        for form in &forms {
            assert_eq!(sound(form), Ok(PathBuf::from(&form[0])), "{form:?}");
        }
        for (changed, at, hit) in [
            (&program, 0o775, [true, true, false]),
            (&program, 0o757, [true, true, false]),
            (&script, 0o664, [false, false, true]),
            (&folder, 0o775, [true, true, true]),
            (&above, 0o757, [true, true, true]),
            (&elsewhere, 0o777, [false, true, false]),
        ] {
            set();
            mode(changed, at);
            for (form, hit) in forms.iter().zip(hit) {
                let told = sound(form);
                assert_eq!(told.is_err(), hit, "{changed:?} {at:o} {form:?}: {told:?}");
                if let Err(told) = told {
                    assert!(told.contains("chmod go-w"), "{told}");
                }
            }
        }
        set();
        mode(&folder, 0o1777);
        assert!(sound(&forms[0]).is_ok(), "a sticky folder, as /tmp");
    }

    #[test]
    fn a_program_of_another_user_is_refused_and_one_that_is_not_there_is_left_to_the_system() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("program");
        fs::write(&program, "").unwrap();
        mode(&program, 0o755);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&program, Some(12345), None).unwrap();
            let told = sound(&[program.display().to_string()]).unwrap_err();
            assert!(told.contains("belongs to another user"), "{told}");
        }
        assert_eq!(sound(&["/no/such/program".to_owned()]), Ok("/no/such/program".into()));
        let own = sound(&["sh".to_owned()]).unwrap();
        assert!(own.is_absolute() && own.ends_with("sh"), "{own:?}");
    }
}
