//! Where git's configuration comes from when the environment is not our process' own.

use std::path::PathBuf;

use super::environment::Environment;

/// Reads git's configuration files by git's rules for this environment, as libgit2 would only look at the process' own.
/// `include.path` is honoured, `includeIf` is not: its conditions need a repository that a bare file does not know.
pub(super) fn configuration(
    repository: &git2::Repository,
    environment: &Environment,
) -> Result<git2::Config, git2::Error> {
    use git2::ConfigLevel;
    let mut config = git2::Config::new()?;
    let mut add = |path: PathBuf, level| -> Result<(), git2::Error> {
        if path.is_file() {
            config.add_file(&path, level, false)
        } else {
            Ok(())
        }
    };
    let no_system = environment.var("GIT_CONFIG_NOSYSTEM").is_some_and(|value| {
        value
            .to_str()
            .is_none_or(|text| git2::Config::parse_bool(text).unwrap_or(true))
    });
    if !no_system {
        let system = environment.var("GIT_CONFIG_SYSTEM").map(PathBuf::from);
        if let Some(path) = system.or_else(|| git2::Config::find_system().ok()) {
            add(path, ConfigLevel::System)?;
        }
    }
    let home = environment.var("HOME").map(PathBuf::from);
    if let Some(path) = environment.var("GIT_CONFIG_GLOBAL") {
        add(path.into(), ConfigLevel::Global)?;
    } else {
        let xdg = environment
            .var("XDG_CONFIG_HOME")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        if let Some(folder) = xdg.or_else(|| home.as_ref().map(|home| home.join(".config"))) {
            add(folder.join("git/config"), ConfigLevel::XDG)?;
        }
        if let Some(home) = &home {
            add(home.join(".gitconfig"), ConfigLevel::Global)?;
        }
    }
    add(repository.commondir().join("config"), ConfigLevel::Local)?;
    let own_worktree_config = repository
        .config()?
        .get_bool("extensions.worktreeConfig")
        .unwrap_or(false);
    if own_worktree_config {
        add(
            repository.path().join("config.worktree"),
            ConfigLevel::Worktree,
        )?;
    }
    Ok(config)
}
