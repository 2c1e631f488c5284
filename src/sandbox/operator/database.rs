//! Roles and databases, made in the primary as the operator does.

use base64::Engine as _;
use serde_json::Value;

use super::build::Manifest;
use crate::sandbox::error::{During, Error, Result};
use crate::sandbox::objects::{SECRET, Store, text};
use crate::sandbox::sql::{self, Login};

/// Makes the missing roles and databases of a manifest.
pub async fn sync(store: &Store, manifest: &Manifest, primary: &str) -> Result<()> {
    let what = format!("cannot make the roles of {}/{}", manifest.namespace, manifest.name);
    let session = sql::connect(&superuser(store, manifest, primary).await?, "postgres-operator").await?;
    for (user, flags) in manifest.users() {
        let password = password_of(store, manifest, user).await?;
        // The password goes as a parameter: no statement that others can see holds it.
        session.client.execute("select set_config('pgdeck.password', $1, false)", &[&password]).await.during(&*what)?;
        session.client.batch_execute(&role(user, flags)).await.during(&*what)?;
    }
    for (database, owner) in manifest.databases() {
        let known = session.client.query_opt("select 1 from pg_database where datname = $1", &[database]).await;
        if known.during(&*what)?.is_none() {
            let statement = format!("create database {} owner {}", quoted(database), quoted(owner));
            session.client.batch_execute(&statement).await.during(&*what)?;
        }
    }
    Ok(())
}

/// Makes a role if it is missing, and gives it its flags and the password of the session's setting.
fn role(user: &str, flags: &Value) -> String {
    let allowed = ["superuser", "createdb", "createrole", "replication", "inherit", "bypassrls"];
    let given = flags.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_lowercase);
    let words: Vec<String> = given.filter(|flag| allowed.contains(&flag.as_str())).collect();
    let name = user.replace('\'', "''");
    format!(
        "do $$ begin
           if not exists (select from pg_roles where rolname = '{name}') then
             execute format('create role %I', '{name}');
             execute format('grant %I to admin', '{name}');
           end if;
           execute format('alter role %I login {} password %L', '{name}', current_setting('pgdeck.password'));
           perform set_config('pgdeck.password', '', false);
         end $$;",
        words.join(" ")
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub async fn superuser(store: &Store, manifest: &Manifest, host: &str) -> Result<Login> {
    let password = password_of(store, manifest, "postgres").await?;
    Ok(Login { host: host.into(), user: "postgres".into(), password, database: "postgres".into() })
}

pub async fn password_of(store: &Store, manifest: &Manifest, user: &str) -> Result<String> {
    let spot = SECRET.at(&manifest.namespace, &manifest.secret_name(user));
    let secret = store.get(&spot).await?.ok_or_else(|| Error::failed(&spot, "not found"))?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text(&secret, &["data", "password"]));
    String::from_utf8(bytes.unwrap_or_default()).map_err(|error| Error::failed(&spot, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_that_are_no_flags_of_a_role_are_left_out() {
        let statement = role("app", &json!(["createdb", "x; drop table y"]));
        assert!(statement.contains("login createdb password"), "{statement}");
    }
}
