"""The organisers' side of a study. It knows the systems; a browser needs the admin secret to open it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session, undefer

from harness.errors import NotAllowed, NotYours, StudyError, StudyFrozen
from harness.study.analysis import collect
from harness.study.analysis.ratings import RatingTable
from harness.study.design.protocol import version_of
from harness.study.exchange import backup as backups
from harness.study.oversight import decisions, lookout
from harness.study.oversight import verify as checks
from harness.study.oversight.decisions import ExclusionRow, SignalRow
from harness.study.oversight.lookout import AnnotatorRow, InviteRow, ItemRow, Overview
from harness.study.oversight.verify import Verified
from harness.study.rating import claims, invites
from harness.study.rating.views import Role
from harness.study.tables import audit
from harness.study.tables.base import plain_text, token_sha256, utc_now
from harness.study.tables.database import Database
from harness.study.tables.schema import Annotator, Block, Campaign, Document, Lease, Media, SeatKey

__all__ = ["AnnotatorRow", "ExclusionRow", "InviteRow", "ItemRow", "Overview", "SignalRow", "StudyAdmin", "Verified"]

T = TypeVar("T")


class StudyAdmin:
    """One study, for those who run it. Every call is one short transaction; objects may be shared by threads."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self.database = database
        self._clock = clock

    @classmethod
    def open(cls, where: str | Path, *, secret: str | None = None, clock: Callable[[], datetime] = utc_now) -> StudyAdmin:
        """Open a study.

        Args:
            where: its folder, its SQLite file, or a URL: whoever has that may do everything already.
            secret: what a person at a browser came with: the study's admin secret, or the key of a seat with the role admin.
                None where the caller has the file (the command line).
            clock: for tests.

        Raises:
            NotAllowed: the secret opens nothing.
        """
        database = Database.open(where)
        if secret is not None and not database.read(lambda session: _opens(session, secret)):
            database.close()
            raise NotAllowed("this is not the study's admin secret; `seetell study invite --role admin` makes a new way in")
        return cls(database, clock)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    # looking

    def overview(self) -> Overview:
        """The study at a glance."""
        return self._read(lambda session: lookout.overview(session, self._clock()))

    def annotators(self) -> tuple[AnnotatorRow, ...]:
        """Everybody who joined, in that order."""
        return self._read(lookout.annotators)

    def items(self, *, limit: int = 200) -> tuple[ItemRow, ...]:
        """Items, flagged ones first, then those with most disagreement."""
        return self._read(lambda session: lookout.items(session, limit))

    def image(self, media: str) -> tuple[bytes, str]:
        """Content and media type of one of the study's images.

        Raises:
            NotYours: no image of the study.
        """
        wanted = select(Media).where(Media.public_id == media).options(undefer(Media.content))
        image = self._read(lambda session: session.scalars(wanted).first())
        if image is None:
            raise NotYours(f"the study has no image {media!r}")
        return image.content, image.mime

    def invites(self) -> tuple[InviteRow, ...]:
        """All invitations, the latest first."""
        return self._read(lookout.invites)

    def ratings(self, *, excluded: bool = False, surplus: bool = False) -> RatingTable:
        """Current ratings; also those that are excluded, or came late, if asked."""
        return self._read(lambda session: collect.ratings(session, excluded=excluded, surplus=surplus))

    def runs(self) -> Mapping[str, str]:
        """Each system's run in the store, as `suite/label-identity8`; empty for a system that has none."""
        return self._read(collect.runs)

    def given_scores(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Scores that were imported with the ratings, by system, metric and item."""
        return self._read(collect.given_scores)

    def verify(self, against: Path | None = None) -> Verified:
        """Check the study against its audit chain.

        Args:
            against: the folder of an export (or its manifest): the chain must contain the entry that was the last one then.

        Raises:
            StudyError: no manifest there that names an entry.
        """
        noted = None if against is None else checks.noted_head(against)
        return self._read(lambda session: checks.verify(session, noted))

    # people

    def invite(
        self,
        *,
        uses: int = 1,
        lasts: timedelta = timedelta(days=30),
        role: Role = "annotator",
        annotator: str | None = None,
        note: str = "",
        by: str = "admin",
    ) -> str:
        """A new invitation's token (128 bits); only its hash is kept.

        Args:
            uses: how many may come in with it.
            lasts: for how long it is good.
            role: of newcomers.
            annotator: id or pseudonym of somebody who rates already, to be let in again on another device.
            note: for the list of invitations.
            by: who asks.
        """
        return self._write(
            lambda session: invites.invite(
                session, self._clock(), uses=uses, lasts=lasts, role=role, note=plain_text(note), by=by, annotator=annotator
            )
        )

    def revoke(self, invite: str, *, by: str = "admin") -> None:
        """An invitation (its id, or its token) lets nobody in any more."""
        self._write(lambda session: invites.revoke(session, invite, self._clock(), by))

    def pause(self, annotator: str, *, by: str, reason: str) -> None:
        """Give an annotator no more work; what is typed already is still kept."""
        self._set_status(annotator, "paused", by, reason)

    def resume(self, annotator: str, *, by: str, reason: str = "resumed") -> None:
        """Give work again: to whoever had some, at once; to others when they have agreed and practised."""
        self._set_status(annotator, "active", by, reason)

    def withdraw(self, annotator: str, *, by: str, reason: str) -> None:
        """Somebody leaves the study: their seats close and their open blocks are reopened. Ratings stay, unless excluded."""

        def leave(session: Session) -> None:
            person = _annotator(session, annotator)
            now = self._clock()
            person.status = "withdrawn"
            for key in session.scalars(select(SeatKey).where(SeatKey.annotator_id == person.id, SeatKey.revoked_at.is_(None))):
                key.revoked_at = now
            held = select(Block).where(Block.annotator_id == person.id, Block.state == "leased").order_by(Block.id)
            for block in session.scalars(held).all():
                claims.void(session, block, now, by=by, reason="its annotator left the study")
            audit.record(session, now, by, "annotator-withdrawn", person.public_id, {"reason": reason})

        decisions.check_signed(by, reason)
        self._write(leave)

    # quality

    def signals(self, *, decided: bool = False) -> tuple[SignalRow, ...]:
        """The review queue, computed again; with `decided`, also what was decided. Nothing is decided by itself."""
        signals = self._read(decisions.compute)  # while nobody waits: it looks at every rating
        if signals:
            self._write(lambda session: decisions.keep(session, signals, self._clock()))
        return self._read(lambda session: decisions.queue(session, decided=decided))

    def dismiss(self, signal: int, *, by: str, reason: str) -> None:
        """A signal was looked at and is no reason to exclude."""
        self._write(lambda session: decisions.decide(session, signal, "dismissed", self._clock(), by=by, reason=reason))

    def exclude_for(self, signal: int, *, by: str, reason: str) -> int:
        """A signal was looked at and its annotator's ratings are not to count; the id of the exclusion."""

        def act(session: Session) -> int:
            row = next((queued for queued in decisions.queue(session, decided=True) if queued.id == signal), None)
            decisions.decide(session, signal, "excluded", self._clock(), by=by, reason=reason)
            target = f"annotator:{row.annotator}" if row else ""
            return decisions.exclude(session, target, row.rule if row else "", reason, by, self._clock())

        return self._write(act)

    def exclude(self, target: str, rule: str, reason: str, by: str) -> int:
        """Ratings of `annotator:ID` or `submission:EVENT` do not count; the id of that decision. Nothing is deleted."""
        return self._write(lambda session: decisions.exclude(session, target, rule, reason, by, self._clock()))

    def revert(self, exclusion: int, by: str) -> None:
        """Take an exclusion back."""
        self._write(lambda session: decisions.revert(session, exclusion, by, self._clock()))

    def exclusions(self) -> tuple[ExclusionRow, ...]:
        """Every decision, reverted ones too."""
        return self._read(decisions.exclusions)

    def void(self, block: str, *, by: str, reason: str) -> None:
        """Take a block from whoever holds it; what was rated of it becomes surplus, and a fresh one opens."""

        def take(session: Session) -> None:
            row = session.scalars(select(Block).where(Block.public_id == block).with_for_update()).first()
            if row is None or row.state == "void":
                raise StudyError(f"there is no live block {block!r}")
            claims.void(session, row, self._clock(), by=by, reason=reason)

        decisions.check_signed(by, reason)
        self._write(take)

    # the study

    def guidelines(self, text: str, *, kind: str = "guidelines", by: str) -> str:
        """A new version of the guidelines (or of the consent text, which everybody is then asked again); its version."""
        words = plain_text(text)

        def add(session: Session) -> str:
            version = version_of(words)
            latest = session.scalars(select(Document).where(Document.kind == kind).order_by(Document.id.desc())).first()
            if latest is None or latest.version == version:
                return version
            now = self._clock()
            number = session.scalars(select(Document.version).where(Document.kind == kind)).all().count(version)
            version = f"{version}-{number + 1}" if number else version
            session.add(Document(kind=kind, version=version, text=words, created_at=now))
            session.flush()
            audit.record(session, now, by, f"new-{kind}", version, {})
            return version

        return self._write(add)

    def freeze(self, by: str) -> None:
        """Close the ratings for good: later forms are kept as surplus, systems may be revealed.

        Raises:
            StudyFrozen: it is closed already.
        """

        def close(session: Session) -> None:
            campaign = session.scalars(select(Campaign).with_for_update()).one()
            if campaign.status == "frozen":
                raise StudyFrozen(f"{campaign.slug} was frozen on {campaign.frozen_at:%Y-%m-%d %H:%M} UTC already")
            now = self._clock()
            campaign.status, campaign.frozen_at = "frozen", now
            session.flush()
            table = collect.ratings(session)
            # Exclusions may be decided and reverted later, so what is sealed for good is the hash with all of them.
            all_ratings = collect.ratings(session, excluded=True)
            content = {"ratings": len(table), "sha256": table.sha256, "with_excluded": all_ratings.sha256}
            audit.record(session, now, by, "freeze", campaign.slug, content)

        decisions.check_signed(by, "-")
        self._write(close)

    def backup(self, path: Path) -> Path:
        """A copy made while people rate, checked before it is called one."""
        return backups.backup(self.database, path, self._clock())

    def export(
        self, folder: Path, formats: Sequence[str] = ("csv", "jsonl", "parquet"), *, by: str = "admin"
    ) -> tuple[Path, ...]:
        """Write ratings, codebook and datasheet."""
        from harness.study.exchange.export import export

        return export(self.database, folder, formats, by=by, now=self._clock())

    def _set_status(self, annotator: str, status: str, by: str, reason: str) -> None:
        def change(session: Session) -> None:
            person = _annotator(session, annotator)
            if person.status == "withdrawn":
                raise StudyError(f"{person.pseudonym!r} has left the study")
            begun = select(exists().where(Lease.annotator_id == person.id))
            person.status = status
            if status == "active" and not session.scalar(begun):
                person.status = "training" if person.consent_at else "invited"
            session.flush()
            audit.record(session, self._clock(), by, f"annotator-{person.status}", person.public_id, {"reason": reason})

        decisions.check_signed(by, reason)
        self._write(change)

    def _read(self, action: Callable[[Session], T]) -> T:
        return self.database.read(action)

    def _write(self, action: Callable[[Session], T]) -> T:
        return self.database.write(action)


def _annotator(session: Session, name: str) -> Annotator:
    annotator = session.scalars(
        select(Annotator).where(or_(Annotator.public_id == name, Annotator.pseudonym_key == name.casefold())).with_for_update()
    ).first()
    if annotator is None:
        raise StudyError(f"nobody in this study is called {name!r}; `seetell study status` lists who is")
    return annotator


def _opens(session: Session, secret: str) -> bool:
    digest = token_sha256(secret)
    own = session.scalars(select(Campaign.admin_sha256)).one()
    if own is not None and hmac.compare_digest(own, digest):
        return True
    role = session.scalar(
        select(Annotator.role)
        .join(SeatKey, SeatKey.annotator_id == Annotator.id)
        .where(SeatKey.key_sha256 == digest, SeatKey.revoked_at.is_(None), Annotator.status != "withdrawn")
    )
    return role == "admin"
