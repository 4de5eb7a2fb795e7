//! A member of the library that a test speaks for, over a real connection.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::host::Host;
use super::host::bind;
use super::host::within;
use crate::asset::AssetId;
use crate::asset::AssetKey;
use crate::asset::Field;
use crate::asset::HostId;
use crate::net::Accepted;
use crate::net::Control;
use crate::net::Greeting;
use crate::net::Net;
use crate::net::Purpose;
use crate::net::Word;
use crate::store::Store;
use crate::sync::Answer;
use crate::sync::Message;
use crate::sync::Offer;
use crate::task::Group;

/// A member to which a host has dialled.
pub(super) struct Member {
    pub(super) control: Control,
    /// The connections that come after the first.
    pub(super) links: mpsc::Receiver<Accepted>,
    pub(super) group: Group,
    net: Net,
}

impl Member {
    /// Has a host connect to a member whose clock says `now_ms`.
    pub(super) async fn of(host: &Host, seed: u8, now_ms: u64) -> Self {
        let net = bind(seed, [1; 32]).await;
        let group = Group::new("member", Arc::new(|_, _, message| panic!("{message}")));
        let (accepted, mut links) = mpsc::channel(8);
        let (serving, within_group) = (net.clone(), group.clone());
        group.spawn_until_cancelled("accept", async move { serving.accept(&within_group, accepted, |_| {}).await });
        host.engine.connect(net.ticket()).await;
        let first = within(links.recv()).await.unwrap();
        let Accepted::Member { purpose: Purpose::Control, link } = first else { panic!("{first:?}") };
        let ticket = net.ticket();
        let greeting = Greeting {
            name: "member".to_owned(),
            version: String::new(),
            addresses: ticket.addresses.iter().map(ToString::to_string).collect(),
            now_ms,
            ..Greeting::default()
        };
        let control = Control::greet(link, &greeting).await.unwrap();
        Self { control, links, group, net }
    }

    /// Waits for a message of the host that `wanted` makes something of.
    pub(super) async fn hears<T>(&mut self, wanted: impl Fn(Message) -> Option<T>) -> T {
        let hearing = async {
            loop {
                if let Word::Message(message) = self.control.reader.receive().await.unwrap()
                    && let Some(found) = wanted(message)
                {
                    return found;
                }
            }
        };
        within(hearing).await
    }

    pub(super) fn id(&self) -> HostId {
        self.net.id()
    }

    /// Offers fields of an asset that a host has; returns what it answers.
    pub(super) async fn is_answered<const N: usize>(
        &mut self,
        host: &Host,
        asset: AssetId,
        fields: [(&str, Field); N],
    ) -> Answer {
        let key = host.store.record(&asset).await.unwrap().unwrap().key;
        self.is_answered_about(key, fields).await
    }

    /// Offers fields of an asset; returns what the host answers.
    pub(super) async fn is_answered_about<const N: usize>(
        &mut self,
        key: AssetKey,
        fields: [(&str, Field); N],
    ) -> Answer {
        let document = fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect();
        let offer = Offer::new(key, document);
        let version = offer.version();
        self.control.writer.send(Message::Offers(vec![offer])).await.unwrap();
        let answer = self.hears(|message| match message {
            Message::Answers(answers) => answers.into_iter().find(|(id, of, _)| (*id, *of) == (key.id, version)),
            _ => None,
        });
        answer.await.2
    }

    pub(super) async fn leave(self) {
        self.net.close().await;
        self.group.shut_down().await;
    }
}
