//! The chain: the members in their order, asked one after the other.

use std::sync::Arc;

use parking_lot::Mutex;

use super::member::Member;
use crate::hook::Asked;
use crate::hook::Chain;
use crate::hook::Course;
use crate::hook::Judgement;
use crate::hook::Point;

/// All members at one moment, in their order.
#[derive(Default)]
pub(super) struct Line {
    pub(super) members: Vec<Arc<Member>>,
    /// Digests that were asked for, since they are asked for once per asset.
    digests: Mutex<Vec<(Point, String, Option<Chain>)>>,
}

impl Line {
    pub(super) fn new(mut members: Vec<Arc<Member>>) -> Self {
        members.sort_by(|a, b| (a.settings.order, &a.name).cmp(&(b.settings.order, &b.name)));
        Self { members, digests: Mutex::default() }
    }

    /// Returns a line in which a member stands in place of the one of its name.
    pub(super) fn with(&self, member: Member) -> Self {
        let mut members = self.without(&member.name).members;
        members.push(Arc::new(member));
        Self::new(members)
    }

    /// Returns a line without the member of a name.
    pub(super) fn without(&self, name: &str) -> Self {
        Self::new(self.members.iter().filter(|other| *other.name != *name).cloned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| *member.name == *name)
    }

    /// Names those who are asked at a point.
    pub(super) fn digest(&self, point: Point, library: &str) -> Option<Chain> {
        let mut digests = self.digests.lock();
        if let Some((.., digest)) = digests.iter().find(|(at, of, _)| *at == point && of == library) {
            return *digest;
        }
        let mut hasher = blake3::Hasher::new_derive_key("can-sync chain of plugins v1");
        let mut nobody = true;
        for member in self.members.iter().filter(|member| member.serves(point, library)) {
            member.hash(&mut hasher);
            nobody = false;
        }
        let digest = (!nobody).then(|| Chain::from_bytes(*hasher.finalize().as_bytes()));
        digests.push((point, library.to_owned(), digest));
        digest
    }

    /// Asks all members that serve the point, each about what those before it left; the first that stops the asset is
    /// the last. Tells also whether one of them has recovered.
    pub(super) async fn ask(&self, asked: &Asked) -> (Judgement, bool) {
        let mut course = Course::new(asked, self.digest(asked.point, &asked.library));
        let mut recovered = false;
        for member in self.members.iter().filter(|member| member.serves(asked.point, &asked.library)) {
            let said = member.ask(asked, course.metadata()).await;
            recovered |= said.recovered;
            if !course.take(said.step, said.standing) {
                break;
            }
        }
        (course.end(), recovered)
    }
}
