//! Names of environment variables: which of them make programs run or load something, and what a granted pattern reaches.

use crate::glob::Glob;

/// Variables that make loaders, shells, interpreters, build tools, pagers, editors or other well-known programs run, load or
/// contact something else. Prefixes, suffixes and whole names, in capitals: `http_proxy` counts as `HTTP_PROXY`.
const PREFIXES: &str = "ANSIBLE_ ANT_ APT_ ASAN_ AWK AWS_ AZURE_ BASH BAZEL BORG_ BUILDAH_ BUILDKIT_ BUILDX_ BUN_ BUNDLE_ BUNDLER_ \
    CABAL_ CARGO_ CATALINA_ CCACHE_ CGO_ CLOUDSDK_ CMAKE_ COMPLUS_ COMPOSE_ COMPOSER_ CONDA_ CONTAINER_ CONTAINERS_ CORECLR_ COR_ COVERAGE_ \
    CTEST_ CUDA_ CURL_ DBUS_ DEBUGINFOD_ DENO_ DISTCC_ DOCKER_ DPKG_ DOTNET_ DYLD_ ELECTRON_ ELIXIR_ EMACS ERL_ FAKEROOT \
    FLASK_ FONTCONFIG_ GCC_ GCONV_ GCOV_ GETCONF_ GDK_ GEM_ GIO_ GIT_ GLIBC_ GNUPG GODEBUG GOINSECURE GOPRIVATE GOSUMDB GOTOOL GPG_ \
    GRADLE_ GS_ GSETTINGS_ GSS_ GST_ GTK_ GUILE_ GUIX_ GVFS_ HELM_ HEX_ HG HIST ICECC_ IPYTHON IRB JAVA_ JBOSS_ JDK_ \
    JULIA_ JUPYTER KMP_ KRB5_ KUBE LD_ LDAP LESS LFTP LIBVIRT_ LIBVA_ LLVM_ LSAN_ LTTNG_ LUA_ MAGICK_ MAKE MALLOC_ MAMBA_ MAN MARIADB_ \
    MAVEN_ MESA_ MESON MIX_ MONO_ MSAN_ MSBUILD MYSQL_ NEEDRESTART_ NINJA_ NIX_ NODE_ NPM_ NSS_ NUGET_ NVIM OCAML OCL_ ODBC \
    OMPI_MCA_ OMP_ OPAM OPENSSL_ ORACLE_ P11_ PACKER_ PERL PG PHP PIPX_ PIP_ PKCS11 PKG_CONFIG PNPM_ PODMAN_ POETRY_ PSQL PUPPET \
    PYTEST_ PYTHON QEMU_ QT_ RAKE REBAR RESTIC_ RPM_ RSYNC_ RUBY RUST SALT_ SASL_ SBCL_ SBT_ SCALA_ SCCACHE_ SCREEN SHLIB_ \
    SNAP SQLITE_ SSH SSL_ STACK_ SUDO_ SVN_ SYSTEMD_ TCL TERMINFO TEX TF_CLI TF_PLUGIN TF_REATTACH TMUX TORCH_ TSAN_ UBSAN_ \
    UV_ UWSGI_ VAGRANT_ VALGRIND VIM VIRTUALENV VIRSH_ VK_ WGET WINE XAUTH XDG_ XMODIFIERS YARN_ ZSH _JAVA";
const SUFFIXES: &str = "ARGS ASKPASS _AR _BIN BROWSER BUNDLE _CC CMD COMMAND COMMANDS COMMAND_PREFIX COMPILER CONF CONFIG CONFIG_DIR CONFIG_FILE CONFIG_HOME CONFIG_SITE CROSS_COMPILE _CXX DATA_DIR DLL DRIVER DRIVERS_DIR DRIVERS_PATH DRIVER_DIR DYNAMIC_API EDITOR EXEC \
    EXECUTABLE EXTCAP_DIR EXTENSIONS EXTENSIONS_DIR _EXE FLAGS HANDLER HELPER HELPERS HOME HOOK HOOKS INIT INTERPRETER LAUNCHER _LD LIB LIBEXEC LIBRARIES LIBRARY LIBS LIBS_USER LIB_DIR LIB_PATH \
    LINKER LOADER MODULE MODULES MODULES_DIR MODULE_DIR _NODE OPENER OPT OPTIONS OPTS PAGER PATH PATHS PLUGIN PLUGINS PLUGINS_DIR PLUGIN_DIR _PREFIX PRELOAD PRINTER PROFILE PROGRAM \
    PROXY PYTHON RCFILE REGISTRY RMT _ROOT RSH RUNNER _SCP SCRIPT SCRIPTS SETTINGS SHELL SOCK SOCKET SSH SSH_ARGS STARTUP STARTUP_FILE TERMINAL TOOLCHAIN VISUAL \
    WRAPPER";
const NAMES: &str = "ACLOCAL ALL_PROXY AR AS AUTOCONF AUTOHEADER AUTOM4TE AUTOMAKE CARGO CC CPP CVS_SERVER CXX DEBCONF_DB_OVERRIDE DEBCONF_DB_REPLACE DEBCONF_DEBUG DISPLAY ED ENV EX \
    EXINIT F77 FC FCEDIT FLEX FTP GHC GLOBIGNORE GOAUTH GOBIN GOCACHEPROG GOENV GOFLAGS GONOSUMDB GOROOT GOVCS GREP_OPTIONS \
    HOSTALIASES HOSTCC HOSTCXX HOSTLD IFS INPUTRC INSTALL JAVA KSHRC LANGUAGE LD LEX LIBTOOL LOCALDOMAIN LOCPATH LYNX_CFG M4 MAIL MAILCAPS MAILCHECK \
    MFLAGS MORE NLSPATH NM OBJCOPY P4DIFF P4MERGE PATH POSIXLY_CORRECT PROMPT PS0 PS1 PS2 PS3 PS4 RANLIB RPROMPT RUNPARTS R_ENVIRON \
    R_PROFILE R_LIBS_SITE R_PROFILE_USER SENDMAIL SHELL SHELLOPTS SHENV STRIP TEMP TERMCAP TMP TMPDIR TNS_ADMIN UNZIP VIRTUAL_ENV WINDRES YACC \
    ZDOTDIR ZIPOPT";

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split_ascii_whitespace()
}

/// Whether a variable makes programs run, load or contact something else. Only an owner who writes its name in full means it.
pub(crate) fn steers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // `SRC` is no start-up file.
    let start_up = name.ends_with("RC") && !name.ends_with("SRC");
    start_up
        || words(NAMES).any(|known| known == name)
        || words(PREFIXES).any(|prefix| name.starts_with(prefix))
        || words(SUFFIXES).any(|suffix| name.ends_with(suffix))
        || name.contains("_LIB_")
        || name.starts_with("SSHEPHERD_")
}

/// The letters with which every name that a pattern fits begins.
fn prefix(glob: &Glob) -> &str {
    glob.as_str().split(['*', '?', '[']).next().unwrap_or_default()
}

/// Whether a granted pattern reaches a variable: a name in full reaches itself, a pattern only names that begin as the owner
/// wrote, and none that steers.
pub(crate) fn reaches(glob: &Glob, name: &str) -> bool {
    if glob.is_literal() {
        return glob.as_str() == name;
    }
    !prefix(glob).is_empty() && !steers(name) && glob.matches(name)
}

/// What an owner should know of an entry under `env`, and what to write instead.
#[must_use]
pub fn remark(glob: &Glob) -> Option<String> {
    let text = glob.as_str();
    if glob.is_literal() {
        return steers(text).then(|| {
            format!(
                "{text} makes programs run, load or contact something else: a caller who sets it may run what no rule names; leave it \
                 out, or set it in the account's own files"
            )
        });
    }
    let prefix = prefix(glob);
    if prefix.is_empty() {
        return Some(format!(
            "{text:?} reaches no variable: a pattern begins with the letters of your own variables; write them out, such as \
             [BUILD_ID, LANG], or begin it with them, such as BUILD_*"
        ));
    }
    // A name that fits, so that it can be looked at.
    steers(&format!("{prefix}X")).then(|| {
        format!(
            "{text:?} reaches no variable: names that begin with {prefix} make programs run, load or contact something else; write \
             those that you mean in full"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new(text).unwrap()
    }

    const STEERING: &str = "GNUMAKEFLAGS MAKEFLAGS PSQLRC RUSTC RUSTC_WRAPPER GIO_EXTRA_MODULES GOFLAGS CLOUDSDK_PYTHON ERL_FLAGS \
        HTTPS_PROXY https_proxy DOTNET_STARTUP_HOOKS ANSIBLE_CONFIG PATH BASH_ENV GIT_SSH GIT_SSH_COMMAND LESSOPEN LESSCLOSE \
        LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES MAVEN_OPTS JAVA_TOOL_OPTIONS _JAVA_OPTIONS JAVA_HOME CATALINA_OPTS \
        NODE_OPTIONS NODE_PATH npm_config_script_shell PERL5OPT PERL5LIB PYTHONSTARTUP PYTHONPATH RUBYOPT RUBYLIB GEM_HOME ENV \
        IFS TERMINFO PAGER MANPAGER EDITOR VISUAL BROWSER PROMPT_COMMAND SUDO_ASKPASS SSH_ASKPASS KUBECONFIG DOCKER_HOST \
        CC CXX CMAKE_C_COMPILER_LAUNCHER CARGO_BUILD_RUSTC CFLAGS LDFLAGS BUILD_OPTS MY_HOOKS ZDOTDIR INPUTRC HGRCPATH \
        AWS_CONFIG_FILE PGSERVICEFILE R_PROFILE_USER TAR_OPTIONS RSYNC_RSH GCONV_PATH OPENSSL_CONF SSL_CERT_FILE \
        KRB5_CONFIG TMPDIR HOME SHELL BUILD_PATH MY_PLUGIN_PATH SYSTEMD_PAGER GTK_MODULES QT_PLUGIN_PATH UBSAN_OPTIONS \
        MYSQL_HOME WGETRC CURL_HOME BORG_RSH RESTIC_PASSWORD_COMMAND LESS PS4 SSHEPHERD_COOKIE TF_CLI_CONFIG_FILE \
        CONFIG_SITE CVS_RSH RSH TAR_RSH BZR_SSH RCLONE_SFTP_SSH PDSH_SSH_ARGS GETCONF_DIR P4DIFF PDSH_MODULE_DIR GIO_MODULE_DIR \
        OMPI_MCA_plm_rsh_agent GUNICORN_CMD_ARGS SPARK_SUBMIT_ARGS PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON R_LIBS_USER R_LIBS \
        GNUPLOT_LIB ZIG_LIB_DIR PYENV_ROOT RBENV_ROOT ASDF_DATA_DIR GROFF_COMMAND_PREFIX WIRESHARK_EXTCAP_DIR WIRESHARK_PLUGIN_DIR \
        GNUPLOT_DRIVER_DIR JACK_DRIVER_DIR LIBGL_DRIVERS_DIR SDL_DYNAMIC_API VDPAU_DRIVER SENDMAIL COVERAGE_PROCESS_START DPKG_ROOT \
        CONTAINER_HOST PASSWORD_STORE_EXTENSIONS_DIR APP_ROOT MAMBA_EXE HOSTCC CROSS_COMPILE UNISON_SCP MPI_CC PUPPETEER_EXE \
        FAKECHROOT_PREFIX SWIFT_BIN VOLTA_NODE";

    #[test]
    fn no_pattern_reaches_a_variable_that_steers_and_its_full_name_does() {
        for name in words(STEERING) {
            assert!(steers(name), "{name}");
            let (first, rest) = name.split_at(1);
            for pattern in [
                "*",
                "?*",
                "[A-Za-z_]*",
                &format!("{first}*"),
                &format!("*{rest}"),
                &format!("{name}*"),
            ] {
                assert!(!reaches(&glob(pattern), name), "{pattern} {name}");
            }
            assert!(reaches(&glob(name), name), "{name}");
            assert!(!reaches(&glob(name), &format!("{name}X")), "{name}");
        }
    }

    #[test]
    fn a_pattern_reaches_names_that_begin_as_the_owner_wrote() {
        for (pattern, reached, beyond) in [
            ("BUILD_*", "BUILD_ID", "XBUILD_ID"),
            ("V*", "VERSION", "AV"),
            ("CI_JOB_?", "CI_JOB_1", "CI_JOB_"),
            ("LC_*", "LC_ALL", "LC"),
            ("TF_VAR_*", "TF_VAR_region", "TF_X"),
            ("BUILD_S*", "BUILD_SRC", "BUILD_T"),
        ] {
            assert!(reaches(&glob(pattern), reached), "{pattern} {reached}");
            assert!(!reaches(&glob(pattern), beyond), "{pattern} {beyond}");
            assert_eq!(remark(&glob(pattern)), None, "{pattern}");
        }
        for pattern in ["*", "*_OPTS", "*FLAGS", "?UILD_ID", "[B]UILD_ID", "**"] {
            assert!(!reaches(&glob(pattern), "BUILD_ID"), "{pattern}");
            assert!(!reaches(&glob(pattern), "JAVA_OPTS"), "{pattern}");
            assert!(remark(&glob(pattern)).unwrap().contains("begin it with them"), "{pattern}");
        }
    }

    #[test]
    fn an_owner_hears_of_names_that_steer() {
        for name in ["RUSTC_WRAPPER", "PATH", "https_proxy"] {
            assert!(
                remark(&glob(name)).unwrap().starts_with(&format!("{name} makes programs run"))
            );
        }
        assert!(remark(&glob("GIT_*")).unwrap().contains("in full"));
        for plain in [
            "LANG",
            "BUILD_ID",
            "TZ",
            "DEBIAN_FRONTEND",
            "LC_ALL",
            "NO_COLOR",
            "APP_PORT",
            "LIBERTY",
            "BUILD_NUMBER",
        ] {
            assert_eq!(remark(&glob(plain)), None, "{plain}");
        }
    }
}
