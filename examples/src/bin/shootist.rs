//! A UAC: places a call, talks for three seconds, hangs up.
//!
//! ```text
//! cargo run -p holdline-examples --bin shootist -- sip:answer@127.0.0.1:5061
//! ```

use std::error::Error;
use std::time::Duration;

use holdline::{Call, Dialog, DialogHandler, Ended, Node, Request, Response, Result};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Tells `main` when the one call it places is over.
struct Shootist(UnboundedSender<Ended>);

const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

impl DialogHandler for Shootist {
    type Data = ();
    type Msg = ();

    async fn on_invite(&self, dialog: &mut Dialog<'_, Self>, _invite: &Request) -> Result {
        dialog.reject(486)
    }

    async fn on_response(&self, _dialog: &mut Dialog<'_, Self>, response: &Response) -> Result {
        println!("{} {}", response.status(), response.reason());
        Ok(())
    }

    async fn on_established(&self, dialog: &mut Dialog<'_, Self>) -> Result {
        println!("talking: {}", dialog.id());
        dialog.set_timer("hang-up", Duration::from_secs(3))
    }

    async fn on_timer(&self, dialog: &mut Dialog<'_, Self>, _name: &str) -> Result {
        dialog.bye()
    }

    async fn on_ended(&self, _dialog: &mut Dialog<'_, Self>, why: Ended) -> Result {
        Ok(self.0.send(why)?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("info,ractor=warn").init();
    let target = std::env::args().nth(1).unwrap_or_else(|| "sip:answer@127.0.0.1:5061".into());
    let (over, mut ended) = unbounded_channel();
    let node = Node::builder(Shootist(over)).udp("127.0.0.1:0".parse()?).start().await?;
    node.invite(Call::to(target).sdp(OFFER)).await?;
    if let Some(why) = ended.recv().await {
        println!("over: {why:?}");
    }
    node.shutdown().await;
    Ok(())
}
