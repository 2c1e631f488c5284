//! Reads the theme that the configuration names, and what the terminal says it can show.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs, io};

use crate::config::{Config, Surroundings};
use crate::theme::{Theme, Wish};

/// The theme that is wanted, from the built-in ones, the themes folder, or a file.
pub fn theme(config: &Config, around: &Surroundings) -> Result<Theme, String> {
    let mut user = match around.config.parent() {
        Some(folder) => folder_of_themes(&folder.join("themes")).map_err(|error| error.to_string())?,
        None => BTreeMap::new(),
    };
    if Path::new(&config.theme).extension().is_some_and(|extension| extension == "toml") {
        let text = fs::read_to_string(&config.theme)
            .map_err(|error| format!("theme {} cannot be read: {error}; check the path", config.theme))?;
        user.insert(config.theme.clone(), text);
    }
    let truecolor = env::var("COLORTERM").is_ok_and(|value| matches!(value.as_str(), "truecolor" | "24bit"));
    let wish = Wish { name: config.theme.clone(), no_color: config.no_color, truecolor, ascii: config.ascii };
    Theme::load(&wish, &user).map_err(|error| error.to_string())
}

/// The user's themes, by name; none where there is no such folder.
fn folder_of_themes(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(named(folder, &error)),
    };
    let mut themes = BTreeMap::new();
    for file in files {
        let path = file?.path();
        let is_theme = path.extension().is_some_and(|extension| extension == "toml");
        if let Some(name) = path.file_stem().filter(|_| is_theme).map(|name| name.to_string_lossy().into_owned()) {
            themes.insert(name, fs::read_to_string(&path).map_err(|error| named(&path, &error))?);
        }
    }
    Ok(themes)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} cannot be read: {error}; check its rights", path.display()))
}
