//! `http://`: any number of players, each beginning with the tables and a random-access point.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wire::{Media, StreamInfo};

use super::Alive;
use super::fanout::{Fanout, Late, Refused};
use super::queue::Shared;

/// A local HTTP server for players.
#[derive(Debug)]
pub(super) struct Server {
    addr: SocketAddr,
    site: Arc<Site>,
    stopped: CancellationToken,
}

#[derive(Debug)]
struct Site {
    fanout: Arc<Fanout>,
    players: AtomicUsize,
    /// Bytes that went to players, and chunks left out for them, of those that have gone.
    written: AtomicU64,
    skipped: AtomicU64,
}

impl Server {
    /// Listens, and serves what `fanout` gives.
    pub(super) async fn start(at: &str, fanout: Arc<Fanout>, alive: Alive) -> io::Result<Server> {
        let listener = TcpListener::bind(at).await?;
        let addr = listener.local_addr()?;
        let site = Arc::new(Site {
            fanout,
            players: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        let stopped = CancellationToken::new();
        let router = Router::new()
            .route("/", get(page))
            .route("/{file}", get(stream))
            .with_state(site.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        // Chunks are small and each is worth having at once.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!("a player's connection: {error}");
            }
        });
        let stop = stopped.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
                tracing::error!("the HTTP output at {addr} failed: {error}");
            }
            drop(alive);
        });
        Ok(Server { addr, site, stopped })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where a player finds the stream.
    pub(super) fn url(&self) -> String {
        // Nobody can open the address that stands for all.
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(if addr.is_ipv4() {
                std::net::Ipv4Addr::LOCALHOST.into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        let media = self.site.fanout.known().map_or(Media::MpegTs, |info| info.media);
        format!("http://{addr}/{}", file_name(media))
    }

    /// No new players; those there get what is queued for them.
    pub(super) fn stop(&self) {
        self.stopped.cancel();
    }

    pub(super) fn players(&self) -> usize {
        self.site.players.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.site.written.load(Ordering::Relaxed)
    }

    pub(super) fn skipped(&self) -> u64 {
        self.site.skipped.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

/// The stream's path, by which players guess its form.
fn file_name(media: Media) -> &'static str {
    match media {
        Media::MpegTs => "stream.ts",
        Media::FragmentedMp4 => "stream.mp4",
        Media::Matroska => "stream.mkv",
        Media::Ogg => "stream.ogg",
        Media::Opaque | Media::Unknown => "stream.bin",
    }
}

fn content_type(media: Media) -> &'static str {
    match media {
        Media::MpegTs => "video/mp2t",
        Media::FragmentedMp4 => "video/mp4",
        Media::Matroska => "video/x-matroska",
        Media::Ogg => "application/ogg",
        Media::Opaque | Media::Unknown => "application/octet-stream",
    }
}

async fn stream(
    State(site): State<Arc<Site>>,
    Path(file): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
) -> Response {
    let known_name = file
        .split_once('.')
        .is_some_and(|(stem, end)| stem == "stream" && ["ts", "mp4", "mkv", "ogg", "bin"].contains(&end));
    if !known_name {
        return (
            StatusCode::NOT_FOUND,
            "There is only one stream here; / says where.\n",
        )
            .into_response();
    }
    // A player may come before the stream: it waits as long as it likes.
    let Some(info) = site.fanout.info().await else {
        return over();
    };
    let proper = file_name(info.media);
    if file != proper {
        return Redirect::temporary(&format!("/{proper}")).into_response();
    }
    match site.fanout.join(format!("the player at {from}")) {
        Ok(late) => {
            let mut response = Body::from_stream(body(Player::new(site, late))).into_response();
            let headers = response.headers_mut();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(content_type(info.media)),
            );
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(Refused::Ended) => over(),
        Err(Refused::Full) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "As many players as there may be are connected.\n",
        )
            .into_response(),
    }
}

fn over() -> Response {
    (StatusCode::GONE, "The stream is over.\n").into_response()
}

/// A player that is connected.
struct Player {
    site: Arc<Site>,
    shared: Arc<Shared>,
    first: std::vec::IntoIter<Bytes>,
    /// What is to be sent after what was sent just now: the chunk that follows its tables.
    then: Option<Bytes>,
    queue: super::queue::Queue,
}

impl Player {
    fn new(site: Arc<Site>, late: Late) -> Player {
        site.players.fetch_add(1, Ordering::Relaxed);
        let shared = late.queue.shared().clone();
        Player {
            site,
            shared,
            first: late.first.into_iter(),
            then: None,
            queue: late.queue,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.then.take().or_else(|| self.first.next()) {
            return Some(bytes);
        }
        let delivery = self.queue.recv().await?;
        if delivery.begins && !delivery.item.tables.is_empty() {
            self.then = Some(delivery.item.bytes);
            return Some(delivery.item.tables);
        }
        Some(delivery.item.bytes)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.site.players.fetch_sub(1, Ordering::Relaxed);
        self.site
            .skipped
            .fetch_add(self.shared.skipped(), Ordering::Relaxed);
    }
}

fn body(player: Player) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::unfold(player, async |mut player| {
        let bytes = player.next().await?;
        player
            .site
            .written
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Some((Ok(bytes), player))
    })
}

async fn page(State(site): State<Arc<Site>>) -> Html<String> {
    Html(page_of(site.fanout.known().as_ref()))
}

fn page_of(info: Option<&StreamInfo>) -> String {
    let title = match info {
        Some(info) if !info.title.trim().is_empty() => escape(&info.title),
        _ => "headwater".into(),
    };
    let path = file_name(info.map_or(Media::MpegTs, |info| info.media));
    let state = if info.is_some() {
        ""
    } else {
        "<p>The stream has not begun here yet.</p>\n"
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body style=\"font-family: sans-serif; margin: 3em\"><h1>{title}</h1>\n{state}\
         <p>Open <a href=\"/{path}\">/{path}</a> at this address in a player (VLC, mpv, ffplay).</p>\n</body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '&' => "&amp;".into(),
            '"' => "&quot;".into(),
            '\'' => "&#39;".into(),
            c => c.to_string(),
        })
        .collect()
}
