//! 1 KB chunks as fast as they are taken, over 200 and over 1,000 tasks in turn.

use std::time::Instant;

use sshepherd_model::Stream;
use sshepherd_store::{Care, DiskStore, Store};

use crate::{Setting, TASKS, bounds, chunk, end, running};

pub(crate) async fn measure(setting: &Setting) {
    let store = DiskStore::open(&setting.folder, bounds()).await.unwrap();
    for tasks in [TASKS, 1000] {
        let mut ids = Vec::new();
        for nonce in 0..tasks {
            ids.push(running(&store, nonce + tasks * 10_000, Care::Result).await);
        }
        let chunk = chunk(1024);
        let begin = Instant::now();
        let rounds = 200_000 / tasks;
        for _ in 0..rounds {
            for id in &ids {
                store.append(id, Stream::Stdout, chunk.clone()).await.unwrap();
            }
        }
        let each = begin.elapsed().as_secs_f64() / (rounds * tasks) as f64;
        println!("append, {tasks} tasks in turn: {:.0} chunks/s", 1.0 / each);
        for id in &ids {
            end(&store, id).await;
        }
    }
}
