//! `mmr-server doctor`.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use mmr_core::{
    backend::{
        net::{NetFederation, SigningKeys},
        object_store::Outcome,
    },
    thumbnail::{
        programs::Tools,
        worker::{WorkerCommand, Workers},
    },
};
use serde::Deserialize;

use super::RENDER_WORKER;
use crate::{
    auth::Homeserver,
    config::{self, BucketSettings, Database, HomeserverSettings, Loaded, Settings, StorageSettings},
};

pub(super) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let path = config::path_or_environment(config);
    let Loaded { settings, .. } = config::load(&path)?;
    let healthy = super::serve::runtime()?.block_on(examine(&settings))?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(settings: &Settings) -> anyhow::Result<bool> {
    let network = config::network(settings)?;
    let mut healthy = true;
    for host in &settings.homeservers {
        healthy &=
            report(&format!("{}: client-server API at {}", host.name, host.cs_api), answers(host).await);
        if let Some(path) = &host.signing_keys {
            let what = format!("{}: publishes the signing key of {}", host.name, path.display());
            healthy &= report(&what, publishes(&network, host, path).await);
        } else {
            println!("-     {}: no signingKeyPath, so no authenticated media of other servers", host.name);
        }
    }
    healthy &= try_render_worker(settings).await;
    healthy &= report(&format!("{} answers", settings.database.named()), database_answers(settings).await);
    for datastore in &settings.datastores {
        healthy &= match &datastore.storage {
            StorageSettings::Directory { path, .. } => report(
                &format!("datastore {}: {} takes files", datastore.id, path.display()),
                takes_files(path),
            ),
            StorageSettings::Bucket(settings) => try_bucket(&datastore.id, settings).await?,
        };
    }
    for line in Tools::find(&std::env::var_os("PATH").unwrap_or_default()).summary() {
        println!("-     {line}");
    }
    Ok(healthy)
}

fn report(what: &str, outcome: anyhow::Result<()>) -> bool {
    match outcome {
        Ok(()) => println!("ok    {what}"),
        Err(error) => {
            println!("FAIL  {what}: {error:#}");
            return false;
        }
    }
    true
}

/// Whatever its schema: `mmr-server migrate` is for that.
async fn database_answers(settings: &Settings) -> anyhow::Result<()> {
    let pending = Database::pending_migrations(&settings.database).await?;
    for step in pending {
        println!("-     a migration is to do: {} (`mmr-server migrate`, or the next start)", step.name);
    }
    Ok(())
}

async fn answers(host: &HomeserverSettings) -> anyhow::Result<()> {
    let answer = Homeserver::new(&host.cs_api, host.timeout)?.versions(None).await?;
    anyhow::ensure!(answer.status.is_success(), "it answers {}; see homeservers[].csApi", answer.status);
    Ok(())
}

#[derive(Deserialize)]
struct Published {
    verify_keys: std::collections::HashMap<String, VerifyKey>,
}

#[derive(Deserialize)]
struct VerifyKey {
    key: String,
}

/// Others check our requests with what the homeserver publishes. Asked for the way others do it: by federation.
async fn publishes(network: &NetFederation, host: &HomeserverSettings, path: &Path) -> anyhow::Result<()> {
    let keys = SigningKeys::parse(&std::fs::read_to_string(path)?)?;
    let ours = keys.first();
    let answer = network.published_keys(&host.name).await.context("its keys cannot be fetched")?;
    let published: Published =
        serde_json::from_slice(&answer).context("its keys are no JSON of that kind")?;
    match published.verify_keys.get(ours.id()) {
        Some(published) if published.key == ours.public_key() => Ok(()),
        Some(_) => anyhow::bail!("{} is published with another public key", ours.id()),
        None => anyhow::bail!(
            "{} is not published; add it to the homeserver's key file (`mmr-server keys combine`)",
            ours.id()
        ),
    }
}

/// What the provider gets wrong, each by its name.
async fn try_bucket(id: &str, settings: &BucketSettings) -> anyhow::Result<bool> {
    let mut healthy = true;
    for check in config::open_bucket(id, settings)?.probe().await {
        let what = format!("datastore {id}: {}", check.name);
        match &check.outcome {
            Outcome::Noted(note) => println!("-     {what}: {note}; {}", check.meaning),
            Outcome::Failed(why) => {
                healthy &= report(&what, Err(anyhow::anyhow!("{why}; {}", check.meaning)));
            }
            _ => healthy &= report(&what, Ok(())),
        }
    }
    Ok(healthy)
}

/// The server renders without any sandbox, too; so what is missing is a remark.
async fn try_render_worker(settings: &Settings) -> bool {
    let workers = Workers::new(WorkerCommand::this_program([RENDER_WORKER]), settings.render);
    let what = "thumbnails: a render worker starts";
    match workers.probe().await {
        Ok(missing) => {
            for missing in &missing {
                println!("-     thumbnails: render workers are not fully sandboxed: {missing}");
            }
            report(what, Ok(()))
        }
        Err(error) => report(what, Err(error.into())),
    }
}

fn takes_files(directory: &Path) -> anyhow::Result<()> {
    tempfile::tempfile_in(directory)?;
    Ok(())
}
