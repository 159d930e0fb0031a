//! The control socket: one command a line, one JSON line back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Lab;

/// Serves a lab at a socket, in threads of its own, until the process ends. `stop` is set when somebody asks for the end.
///
/// # Errors
/// When there can be no socket at that path.
pub fn serve(lab: &Arc<Lab>, path: &Path, stop: &Arc<AtomicBool>) -> Result<()> {
    let listener = UnixListener::bind(path).with_context(|| format!("no socket at {}", path.display()))?;
    let (lab, stop) = (Arc::downgrade(lab), Arc::clone(stop));
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (lab, stop) = (lab.clone(), Arc::clone(&stop));
            std::thread::spawn(move || -> Option<()> {
                let mut out = connection.try_clone().ok()?;
                for line in BufReader::new(connection).lines() {
                    reply(&mut out, &lab.upgrade()?.asked(&line.ok()?, &stop))?;
                }
                Some(())
            });
        }
    });
    Ok(())
}

/// `None` when the other side has gone.
fn reply(out: &mut UnixStream, answer: &Value) -> Option<()> {
    writeln!(out, "{answer}").ok()
}

impl Lab {
    /// The answer to a line.
    fn asked(&self, line: &str, stop: &AtomicBool) -> Value {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["stats"] => self.counters(false).map(|counters| counters.to_json()),
            ["stats", "reset"] => self.counters(true).map(|counters| counters.to_json()),
            ["nodes"] => Ok(json!({ "nodes": self.described() })),
            ["stop"] => {
                stop.store(true, Ordering::SeqCst);
                Ok(json!({}))
            }
            _ => self.command(line).map(|()| json!({})),
        };
        match answer {
            Ok(mut answer) => {
                answer["ok"] = true.into();
                answer
            }
            Err(error) => json!({ "ok": false, "error": format!("{error:#}") }),
        }
    }

    fn described(&self) -> Vec<Value> {
        let each = self.nodes.iter().zip(&self.spaces);
        each.map(|(node, space)| {
            json!({
                "name": node.name,
                "address": node.address.to_string(),
                "public": node.public.to_string(),
                "namespace": space.path(),
            })
        })
        .collect()
    }
}
