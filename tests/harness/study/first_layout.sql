BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE annotator (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	pseudonym TEXT NOT NULL, 
	pseudonym_key TEXT NOT NULL, 
	role TEXT NOT NULL, 
	status TEXT NOT NULL, 
	language TEXT NOT NULL, 
	consent_version TEXT, 
	consent_at BIGINT, 
	lane INTEGER NOT NULL, 
	joined_at BIGINT NOT NULL, 
	last_at BIGINT NOT NULL, 
	CONSTRAINT pk_annotator PRIMARY KEY (id), 
	CONSTRAINT ck_annotator_role CHECK (role IN ('annotator', 'admin')), 
	CONSTRAINT ck_annotator_status CHECK (status IN ('invited', 'training', 'active', 'paused', 'withdrawn', 'done')), 
	CONSTRAINT uq_annotator_pseudonym_key UNIQUE (pseudonym_key), 
	CONSTRAINT uq_annotator_public_id UNIQUE (public_id)
);
INSERT INTO "annotator" VALUES(1,'pW7uhVR0uxlH0JQLrOgBkg','ann','ann','annotator','active','en','15d3b0f9dbc2',1772355600003,0,1772355600002,1772355600019);
CREATE TABLE aspect (
	id INTEGER NOT NULL, 
	code TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	label TEXT NOT NULL, 
	definition TEXT NOT NULL, 
	CONSTRAINT pk_aspect PRIMARY KEY (id), 
	CONSTRAINT uq_aspect_code UNIQUE (code), 
	CONSTRAINT uq_aspect_position UNIQUE (position)
);
INSERT INTO "aspect" VALUES(1,'coherence',0,'Coherence','Do the parts of the text belong together and make sense as one statement, whatever the image shows?');
INSERT INTO "aspect" VALUES(2,'fluency',1,'Fluency','Is it well-formed language: grammar, word order, endings and punctuation? Judge the words only, not whether they are true.');
INSERT INTO "aspect" VALUES(3,'informativeness',2,'Informativeness','How much does the text tell somebody who cannot see the image? Count what is particular; phrases that fit any image tell nothing.');
INSERT INTO "aspect" VALUES(4,'relevance',3,'Relevance to the image','Is what the text says true of this image? Judge the match only: a clumsy sentence about the right thing is relevant.');
CREATE TABLE aspect_anchor (
	aspect_id INTEGER NOT NULL, 
	value INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	example TEXT NOT NULL, 
	media_id INTEGER, 
	CONSTRAINT pk_aspect_anchor PRIMARY KEY (aspect_id, value), 
	CONSTRAINT ck_aspect_anchor_value CHECK (value BETWEEN 1 AND 5), 
	CONSTRAINT fk_aspect_anchor_aspect_id FOREIGN KEY(aspect_id) REFERENCES aspect (id), 
	CONSTRAINT fk_aspect_anchor_media_id FOREIGN KEY(media_id) REFERENCES media (id)
);
INSERT INTO "aspect_anchor" VALUES(1,1,'No sense: the parts contradict each other or have nothing to do with each other.','A dog is a red blue the man of a and sky dog.',NULL);
INSERT INTO "aspect_anchor" VALUES(1,2,'Mostly broken: one part makes sense, but it does not fit the rest.','A man rides a bicycle and the bicycle is sleeping on a plate.',NULL);
INSERT INTO "aspect_anchor" VALUES(1,3,'Half and half: the thought can be followed, with a jump or a contradiction on the way.','Two children play football in the kitchen, on the beach.',NULL);
INSERT INTO "aspect_anchor" VALUES(1,4,'Mostly sound: one small oddity, such as a repeated detail, and the thought is still clear.','A woman holds an umbrella while a woman walks with an umbrella.',NULL);
INSERT INTO "aspect_anchor" VALUES(1,5,'Sound throughout: everything said belongs to one clear thought.','A woman waits under an umbrella while the rain runs off its edge.',NULL);
INSERT INTO "aspect_anchor" VALUES(2,1,'Not readable: words without grammar, or cut off so that nothing is a sentence.','Man a riding on the the of horse beach.',NULL);
INSERT INTO "aspect_anchor" VALUES(2,2,'Hard to read: several errors; it has to be read twice.','A man are ride horse in beach and have hat.',NULL);
INSERT INTO "aspect_anchor" VALUES(2,3,'Readable with effort: one serious error or several small ones.','A man riding a horse on the beach and wear a hat.',NULL);
INSERT INTO "aspect_anchor" VALUES(2,4,'Nearly perfect: one small slip that hardly disturbs.','A man is riding a horse on beach.',NULL);
INSERT INTO "aspect_anchor" VALUES(2,5,'Perfect: a careful writer could have written it.','A man in a hat is riding a horse along the beach.',NULL);
INSERT INTO "aspect_anchor" VALUES(3,1,'Nothing: it would fit almost any image, or says nothing at all.','A nice picture of something.',NULL);
INSERT INTO "aspect_anchor" VALUES(3,2,'Little: one vague fact, such as only a kind of thing.','There is an animal.',NULL);
INSERT INTO "aspect_anchor" VALUES(3,3,'Some: the main thing, without what it does or where it is.','A brown dog.',NULL);
INSERT INTO "aspect_anchor" VALUES(3,4,'Much: the main thing and what it does or where it is.','A brown dog jumps in a park.',NULL);
INSERT INTO "aspect_anchor" VALUES(3,5,'Very much: the main things, what happens and telling details, without padding.','A brown dog jumps to catch a yellow frisbee in a park full of people.',NULL);
INSERT INTO "aspect_anchor" VALUES(4,1,'Unrelated: it describes another image.','The image shows a train; the text speaks of two cats on a sofa.',NULL);
INSERT INTO "aspect_anchor" VALUES(4,2,'Mostly wrong: one thing is there, most of what is said is not.','The image shows a train at night; the text speaks of a bus on a sunny street near a station.',NULL);
INSERT INTO "aspect_anchor" VALUES(4,3,'Partly right: the main thing is right, and something important is wrong.','The image shows a red train at a station; the text speaks of a red train crossing a bridge.',NULL);
INSERT INTO "aspect_anchor" VALUES(4,4,'Mostly right: one small detail is wrong or cannot be seen.','The image shows a red train with three carriages at a station; the text says four carriages.',NULL);
INSERT INTO "aspect_anchor" VALUES(4,5,'Right: everything said can be seen in the image.','The image shows a red train at a station; the text speaks of a red train standing at a platform.',NULL);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	object TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	prev_hash TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,1772355600001,'create','create','fix','{"blocks":6,"plan":"03846b048fe264d9d95f3548ee32aad75c5b37e3b0a83aa4c8dbd8fa334bac20","protocol":"47cfa64c3dc63f5d2024d34ac4a0aac1a6a226f23471c4d7f980ffbb922b6ec9"}','','862e59227ded1796ed6957f1b5a4fc69762de0b724e9076db37c82d8f0f08747');
INSERT INTO "audit" VALUES(2,1772355600001,'create','invite','-SxkM29rmqTwM1DbvGoEZQ','{"note":"first link","role":"annotator","uses":2}','862e59227ded1796ed6957f1b5a4fc69762de0b724e9076db37c82d8f0f08747','06af09ea143a523c2c4dd4b05fe5e3343c7c2aa537115b58cec89f963d748c11');
INSERT INTO "audit" VALUES(3,1772355600002,'pW7uhVR0uxlH0JQLrOgBkg','join','-SxkM29rmqTwM1DbvGoEZQ','{"role":"annotator"}','06af09ea143a523c2c4dd4b05fe5e3343c7c2aa537115b58cec89f963d748c11','ee4ed3bc0294ee623ab94cfb61dba9b4d22282394dc44e7178e297ae3791d9b5');
INSERT INTO "audit" VALUES(4,1772355600003,'pW7uhVR0uxlH0JQLrOgBkg','consent','15d3b0f9dbc2','{}','ee4ed3bc0294ee623ab94cfb61dba9b4d22282394dc44e7178e297ae3791d9b5','e2a006bbe2e722513b99316f94f6ece7d8dfadb947a93fb95b5e8f6d53675c48');
INSERT INTO "audit" VALUES(5,1772355600016,'pW7uhVR0uxlH0JQLrOgBkg','begin','','{}','e2a006bbe2e722513b99316f94f6ece7d8dfadb947a93fb95b5e8f6d53675c48','7b99ce819849cac48c387f3edb9825bff197c0ec3dcd3fdd612914d28694aaeb');
INSERT INTO "audit" VALUES(6,1772355600018,'pW7uhVR0uxlH0JQLrOgBkg','submit','76e41dd4-b2f1-495c-99ca-9285f9ba9cf4','{"revision":0,"sha256":"5418cc4710a2a126631db3f39dc1778055fe7bfdd31030d649ebf605b7d8afcb","slot":"xGAmFCKapmYBNxEeCvZadg","status":"current"}','7b99ce819849cac48c387f3edb9825bff197c0ec3dcd3fdd612914d28694aaeb','8e8c57752d9538cacea1ecdcefe694848b0442e2e9538b21ff2bb74c4c8dcc84');
INSERT INTO "audit" VALUES(7,1772355600019,'pW7uhVR0uxlH0JQLrOgBkg','submit','95bd2d47-f8ca-4737-be0b-259617f87822','{"revision":1,"sha256":"461a45ac7efef5f04b1396ceece48042ca74e34c02804d07605477252204ee19","slot":"xGAmFCKapmYBNxEeCvZadg","status":"current"}','8e8c57752d9538cacea1ecdcefe694848b0442e2e9538b21ff2bb74c4c8dcc84','670b027308d2abc44dfb6a396603c64c4ee004ea9e74b9edf6fb051f46fa0811');
INSERT INTO "audit" VALUES(8,1772355600020,'pW7uhVR0uxlH0JQLrOgBkg','skip','924eb20a-1bae-4fb0-8259-bafead0f3e0d','{"sha256":"16be8d7060e4e3cd46f1808ebf24f437ea36092931d66317a04aace2d7162331","slot":"n21AwWmGhmTi6nYav7HhNA"}','670b027308d2abc44dfb6a396603c64c4ee004ea9e74b9edf6fb051f46fa0811','5ad26e5ffcb3045a54eb98228eb244bfc9c47e7a23947a5a9643e0f450a8f404');
INSERT INTO "audit" VALUES(9,1772355600021,'pW7uhVR0uxlH0JQLrOgBkg','refuse','','{"reason":"event-id","sha256":"52dc54c3101fe549b7312a94ebeb0354188844d702c177030212a44d7d6e329a"}','5ad26e5ffcb3045a54eb98228eb244bfc9c47e7a23947a5a9643e0f450a8f404','89e40799ed9a34abf60b6c821f62b531fb42e357a676f52b6f15345aad0ef264');
CREATE TABLE block (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	unit INTEGER NOT NULL, 
	topic INTEGER NOT NULL, 
	rep INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	lane INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	order_row INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	annotator_id INTEGER, 
	claimed_at BIGINT, 
	lease_until BIGINT, 
	kept_until BIGINT, 
	forms INTEGER NOT NULL, 
	active_ms INTEGER NOT NULL, 
	done_at BIGINT, 
	CONSTRAINT pk_block PRIMARY KEY (id), 
	CONSTRAINT ck_block_state CHECK (state IN ('open', 'leased', 'done', 'void')), 
	CONSTRAINT fk_block_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT uq_block_public_id UNIQUE (public_id), 
	CONSTRAINT uq_block_unit_annotator_id UNIQUE (unit, annotator_id), 
	CONSTRAINT uq_block_unit_rep_attempt UNIQUE (unit, rep, attempt)
);
INSERT INTO "block" VALUES(1,'TgQbdXHB3sqSuuSbwIjODw',1,1,0,0,0,0,0,'done',1,1772355600017,1772356800020,1772614800020,2,12345,1772355600020);
INSERT INTO "block" VALUES(2,'5RQAqAiBasf59eiW32TeXw',2,2,1,0,0,1,1,'leased',1,1772355600017,1772356800017,NULL,0,0,NULL);
INSERT INTO "block" VALUES(3,'qnCIH4NUwqUOBHSCUDqW4Q',0,0,0,0,0,2,0,'open',NULL,NULL,NULL,NULL,0,0,NULL);
INSERT INTO "block" VALUES(4,'11AKCZ7W1a6TUEQTCpiUGQ',1,1,1,0,1,0,1,'open',NULL,NULL,NULL,NULL,0,0,NULL);
INSERT INTO "block" VALUES(5,'0ExnsXhyd4JoR2EDzZoAQQ',0,0,1,0,1,1,1,'open',NULL,NULL,NULL,NULL,0,0,NULL);
INSERT INTO "block" VALUES(6,'RnbcQQlFyJgSU4gvRpiteQ',2,2,0,0,1,2,0,'open',NULL,NULL,NULL,NULL,0,0,NULL);
INSERT INTO "block" VALUES(7,'oQEd-PjwOVTooBYIrUkFQg',1,1,0,1,0,0,0,'open',NULL,NULL,NULL,NULL,0,0,NULL);
CREATE TABLE campaign (
	id INTEGER NOT NULL, 
	slug TEXT NOT NULL, 
	title TEXT NOT NULL, 
	task TEXT NOT NULL, 
	suite TEXT NOT NULL, 
	status TEXT NOT NULL, 
	protocol TEXT NOT NULL, 
	protocol_sha256 TEXT NOT NULL, 
	seed INTEGER NOT NULL, 
	k INTEGER NOT NULL, 
	lanes INTEGER NOT NULL, 
	salt TEXT NOT NULL, 
	admin_sha256 TEXT, 
	created_at BIGINT NOT NULL, 
	frozen_at BIGINT, 
	CONSTRAINT pk_campaign PRIMARY KEY (id), 
	CONSTRAINT ck_campaign_status CHECK (status IN ('open', 'closed', 'frozen')), 
	CONSTRAINT ck_campaign_task CHECK (task IN ('caption', 'story')), 
	CONSTRAINT ck_campaign_k CHECK (k >= 1), 
	CONSTRAINT uq_campaign_slug UNIQUE (slug)
);
INSERT INTO "campaign" VALUES(1,'fix','How good are these captions?','caption','toy','open','{"analysis":{"agreement":["krippendorff-alpha"],"level":0.05,"test":"wilcoxon"},"annotators":2,"aspects":{"coherence":["Coherence","Do the parts of the text belong together and make sense as one statement, whatever the image shows?",["No sense: the parts contradict each other or have nothing to do with each other.","Mostly broken: one part makes sense, but it does not fit the rest.","Half and half: the thought can be followed, with a jump or a contradiction on the way.","Mostly sound: one small oddity, such as a repeated detail, and the thought is still clear.","Sound throughout: everything said belongs to one clear thought."],["A dog is a red blue the man of a and sky dog.","A man rides a bicycle and the bicycle is sleeping on a plate.","Two children play football in the kitchen, on the beach.","A woman holds an umbrella while a woman walks with an umbrella.","A woman waits under an umbrella while the rain runs off its edge."]],"fluency":["Fluency","Is it well-formed language: grammar, word order, endings and punctuation? Judge the words only, not whether they are true.",["Not readable: words without grammar, or cut off so that nothing is a sentence.","Hard to read: several errors; it has to be read twice.","Readable with effort: one serious error or several small ones.","Nearly perfect: one small slip that hardly disturbs.","Perfect: a careful writer could have written it."],["Man a riding on the the of horse beach.","A man are ride horse in beach and have hat.","A man riding a horse on the beach and wear a hat.","A man is riding a horse on beach.","A man in a hat is riding a horse along the beach."]],"informativeness":["Informativeness","How much does the text tell somebody who cannot see the image? Count what is particular; phrases that fit any image tell nothing.",["Nothing: it would fit almost any image, or says nothing at all.","Little: one vague fact, such as only a kind of thing.","Some: the main thing, without what it does or where it is.","Much: the main thing and what it does or where it is.","Very much: the main things, what happens and telling details, without padding."],["A nice picture of something.","There is an animal.","A brown dog.","A brown dog jumps in a park.","A brown dog jumps to catch a yellow frisbee in a park full of people."]],"relevance":["Relevance to the image","Is what the text says true of this image? Judge the match only: a clumsy sentence about the right thing is relevant.",["Unrelated: it describes another image.","Mostly wrong: one thing is there, most of what is said is not.","Partly right: the main thing is right, and something important is wrong.","Mostly right: one small detail is wrong or cannot be seen.","Right: everything said can be seen in the image."],["The image shows a train; the text speaks of two cats on a sofa.","The image shows a train at night; the text speaks of a bus on a sunny street near a station.","The image shows a red train at a station; the text speaks of a red train crossing a bridge.","The image shows a red train with three carriages at a station; the text says four carriages.","The image shows a red train at a station; the text speaks of a red train standing at a platform."]]},"controls":{"kinds":["swap","scramble","repeat","reference"],"repeat_gap":20,"share":0.1},"items":3,"plan_sha256":"03846b048fe264d9d95f3548ee32aad75c5b37e3b0a83aa4c8dbd8fa334bac20","planner":1,"practice_share":0.75,"preset":"","ratings_per_item":2,"seed":0,"spread":false,"systems":2}','47cfa64c3dc63f5d2024d34ac4a0aac1a6a226f23471c4d7f980ffbb922b6ec9',0,2,2,'9ae700bc29c3986af795387ba1844d57','2bea69baf75c6661eba27ae8bfd2be9ef3c06bc85a1663ce7cc2ef32276ce11f',1772355600001,NULL);
CREATE TABLE document (
	id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	version TEXT NOT NULL, 
	text TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_document PRIMARY KEY (id), 
	CONSTRAINT ck_document_kind CHECK (kind IN ('guidelines', 'consent')), 
	CONSTRAINT uq_document_kind_version UNIQUE (kind, version)
);
INSERT INTO "document" VALUES(1,'guidelines','d509ea53c639','# How to rate captions

You will see an image and a short text about it. Some texts were written by people, some by computer programs; you are not told
which, and it does not matter. **Rate each text by itself, as it stands.** The same image comes several times with different texts.

## One aspect at a time

Each aspect asks one question. Keep them apart:

- A text can be **fluent and wrong**: perfect English about another image gets a high fluency and a low relevance.
- A text can be **clumsy and right**: broken grammar about what is really there gets a low fluency and a high relevance.
- A text can be **true and empty**: "This is a photo" is true of the image and tells nothing.

Beside each scale stands what its five values mean, with an example. Read them before you begin, and look again whenever you are
not sure. Use the whole scale: 1 and 5 are ordinary answers, not exceptions.

## Good habits

- Look at the image first, then read the text once, then answer.
- Judge what is written, not what the writer may have meant.
- Do not compare with the text before. If two texts are equally good, they get the same values.
- Small letters at the start and a missing full stop are not errors.
- There is no time limit. Take a break after about half an hour; everything you have finished is saved.

## If something is wrong

*Skip* a text only if you cannot rate it: the image does not load, or the text is in a language that you do not read. *Flag* a text
that you can rate but that we should look at. Both ask for a reason. You can change an answer later under *My work*; what you said
before is kept beside it.
',1772355600001);
INSERT INTO "document" VALUES(2,'consent','15d3b0f9dbc2','# Before you take part

You are invited to rate short texts about images. Your answers are used to compare the computer programs that wrote some of the
texts.

- **Taking part is voluntary.** You may stop at any time without giving a reason; tell whoever invited you if what you have rated
  should not be used.
- **What is kept:** your answers, when and how fast you gave them, and the name you choose below. Please choose a name that does not
  tell who you are. No e-mail address, no location and no other page you visit is recorded.
- **What it is used for:** statistics about the texts, and checks of how reliable the ratings are. Some texts are there to check
  that the scales are used as described.
- **Who sees it:** the people who run this study. Ratings may be published for research under a random number, never under the name
  you chose.
- **What you may meet:** the texts come from programs and are not checked beforehand. Some may be odd or unpleasant; you can skip
  those.

If you have questions, ask whoever sent you the invitation before you begin.
',1772355600001);
CREATE TABLE exclusion (
	id INTEGER NOT NULL, 
	annotator_id INTEGER, 
	event_id TEXT, 
	rule TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	decided_by TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	reverted_at BIGINT, 
	reverted_by TEXT, 
	CONSTRAINT pk_exclusion PRIMARY KEY (id), 
	CONSTRAINT ck_exclusion_one_target CHECK ((annotator_id IS NULL) <> (event_id IS NULL)), 
	CONSTRAINT fk_exclusion_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_exclusion_event_id FOREIGN KEY(event_id) REFERENCES submission (event_id)
);
CREATE TABLE invite (
	token_sha256 TEXT NOT NULL, 
	public_id TEXT NOT NULL, 
	role TEXT NOT NULL, 
	annotator_id INTEGER, 
	max_uses INTEGER NOT NULL, 
	uses INTEGER NOT NULL, 
	note TEXT NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	CONSTRAINT pk_invite PRIMARY KEY (token_sha256), 
	CONSTRAINT ck_invite_role CHECK (role IN ('annotator', 'admin')), 
	CONSTRAINT ck_invite_uses CHECK (uses <= max_uses), 
	CONSTRAINT fk_invite_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT uq_invite_public_id UNIQUE (public_id)
);
INSERT INTO "invite" VALUES('26e27521d0a1072a3fc2b3b1422f0fa6d2dea3efff1e77a0bdf7405dc406d743','-SxkM29rmqTwM1DbvGoEZQ','annotator',NULL,2,1,'first link',1772355600001,1774947600001,NULL);
CREATE TABLE item (
	id INTEGER NOT NULL, 
	source_id TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	media_id INTEGER, 
	CONSTRAINT pk_item PRIMARY KEY (id), 
	CONSTRAINT fk_item_media_id FOREIGN KEY(media_id) REFERENCES media (id), 
	CONSTRAINT uq_item_source_id UNIQUE (source_id)
);
INSERT INTO "item" VALUES(1,'img-0005','',1);
INSERT INTO "item" VALUES(2,'img-0002','',2);
INSERT INTO "item" VALUES(3,'img-0006','',3);
CREATE TABLE join_try (
	id INTEGER NOT NULL, 
	address_sha256 TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_join_try PRIMARY KEY (id)
);
CREATE TABLE lease (
	id INTEGER NOT NULL, 
	block_id INTEGER NOT NULL, 
	annotator_id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (id), 
	CONSTRAINT fk_lease_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_lease_block_id FOREIGN KEY(block_id) REFERENCES block (id)
);
INSERT INTO "lease" VALUES(1,1,1,1772355600017);
INSERT INTO "lease" VALUES(2,2,1,1772355600017);
CREATE TABLE media (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	mime TEXT NOT NULL, 
	content BLOB NOT NULL, 
	CONSTRAINT pk_media PRIMARY KEY (id), 
	CONSTRAINT uq_media_public_id UNIQUE (public_id), 
	CONSTRAINT uq_media_sha256 UNIQUE (sha256)
);
INSERT INTO "media" VALUES(1,'ACU0qz3XqZUQS_o7YkKipg','056114f51d77ed5070c8f91e43553de019e471a1dbcc18f28e4a645f115d944c','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364654866C00698B08A0E5A0900571A0078E779E8AB0000000049454E44AE426082');
INSERT INTO "media" VALUES(2,'UxZu0asuEaQlAEYQJENTUw','08b78f0c0ef8e0a18fbdb35a72d7e08d236938c439f4595a56c5f4d5aefbc17f','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364624866C00698B08A0E5A090054C50075F051B1800000000049454E44AE426082');
INSERT INTO "media" VALUES(3,'5U6IqwhcZ5CbdHtPXK1xgQ','3ca868a3005a09fbee601bb0d17317211a1f479b675eef93b745eb4b2643e22c','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364634866C00698B08A0E5A090057E100797A7E2DE80000000049454E44AE426082');
INSERT INTO "media" VALUES(4,'tl0rwSc7XI5XUELDciPRpA','df7e4cca31d56e941b0caf039743c8b7f875af3b132a062a8ed885f96c2a90b9','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C63E4604866C00698B08A0E5A0900596F007B0C4072670000000049454E44AE426082');
INSERT INTO "media" VALUES(5,'IYUJNXIRZaSTkVedoNCAhQ','69b8b6066a9c9dcb01e291f1086eea2b28fe361dede408c545deef9f3e125f9d','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364644866C00698B08A0E5A090053FE0074612EDA3A0000000049454E44AE426082');
INSERT INTO "media" VALUES(6,'U7NZIXH19wKPKN1PznFwVw','99c938709c1d06a57abafc61ab1be096585377a302542119026272fa64ca2603','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364664866C00698B08A0E5A0900558C00767A9E7D970000000049454E44AE426082');
INSERT INTO "media" VALUES(7,'qvS4JsH7x26ry4eOq1lsug','e6cec19e32ea874a05f9060772ef7d824f3dfd5b8b37d6219f30b5dc95229555','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364614866C00698B08A0E5A090056530077640068970000000049454E44AE426082');
INSERT INTO "media" VALUES(8,'QmJ_9xOGPT7jnj_uqu9MwA','b964777a9fcb905f223fe001bbe3d8f61d3503f7f22efe754f5d46468bcd342a','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364674866C00698B08A0E5A090058A8007A106E96CC0000000049454E44AE426082');
INSERT INTO "media" VALUES(9,'a7VBzsdOVsxRgrbgUgCEEw','50249de80fba5081beaaba6be9dd8d452b188e10879ac8c37200328401abe226','image/png',X'89504E470D0A1A0A0000000D49484452000000080000000808020000004B6D29DC0000001449444154789C6364604866C00698B08A0E5A090053370073B505AED10000000049454E44AE426082');
CREATE TABLE origin (
	output_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	system_id INTEGER, 
	from_item_id INTEGER, 
	text_sha256 TEXT NOT NULL, 
	CONSTRAINT pk_origin PRIMARY KEY (output_id), 
	CONSTRAINT ck_origin_kind CHECK (kind IN ('system', 'reference', 'swap', 'scramble')), 
	CONSTRAINT fk_origin_from_item_id FOREIGN KEY(from_item_id) REFERENCES item (id), 
	CONSTRAINT fk_origin_output_id FOREIGN KEY(output_id) REFERENCES output (id), 
	CONSTRAINT fk_origin_system_id FOREIGN KEY(system_id) REFERENCES system (id)
);
INSERT INTO "origin" VALUES(1,'system',1,NULL,'e96f79923dcab784d78017e286fcc04e6c9080d7985feacd5d3c3e83f121cb76');
INSERT INTO "origin" VALUES(2,'system',2,NULL,'b400385da04c83a939717f6eb6e36c7bc699d8968140df96c58e2e62c715add0');
INSERT INTO "origin" VALUES(3,'system',1,NULL,'23cef263d0fc89b2491619a8749860250242d8949248326b333d34c8bf45eea6');
INSERT INTO "origin" VALUES(4,'system',2,NULL,'e3cb5c8fabdc66b5f828010627b3bd8cbecc86c11e4e39df47844ad627754b86');
INSERT INTO "origin" VALUES(5,'system',1,NULL,'b3ed486b34793ee03c08a4f9e7249cdf123c88e88cd1b960fa727d6571f1dbb2');
INSERT INTO "origin" VALUES(6,'system',2,NULL,'15c967e99f8e50aaebdbd8d72b8ed30d5a514203644144c4524ab45d40aaa953');
INSERT INTO "origin" VALUES(7,'reference',NULL,NULL,'5efa42b6c7555299d4eef088b8bd21d3ff81337f32d29c7da2a9e4e86135dfd0');
CREATE TABLE output (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	item_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_output PRIMARY KEY (id), 
	CONSTRAINT fk_output_item_id FOREIGN KEY(item_id) REFERENCES item (id), 
	CONSTRAINT uq_output_public_id UNIQUE (public_id)
);
INSERT INTO "output" VALUES(1,'kgTDs0I7VEz_kT6ev2i46w',1,'a5 shows 5 =rot 😀 things in place 0 of 35');
INSERT INTO "output" VALUES(2,'_mZRWC5g7nkhU1QWiv9m1g',1,'b5 shows 5 =rot 😀 things in place 1 of 36');
INSERT INTO "output" VALUES(3,'nj2WObObrSBE1SN0WWm04g',2,'a2 shows 2 =rot 😀 things in place 0 of 14');
INSERT INTO "output" VALUES(4,'E6jFQAHlII03byn8z4XJdw',2,'b2 shows 2 =rot 😀 things in place 1 of 15');
INSERT INTO "output" VALUES(5,'XivZYihiH6RbecwPP4iy9Q',3,'a6 shows 6 =rot 😀 things in place 0 of 42');
INSERT INTO "output" VALUES(6,'1zhZ420tY-KxHOr6zpHoVg',3,'b6 shows 6 =rot 😀 things in place 1 of 43');
INSERT INTO "output" VALUES(7,'1hh_plKHVnWRw8RJ5MGMPQ',1,'a person saw 5 =rot 😀 houses near the river bank');
CREATE TABLE practice (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	prompt TEXT NOT NULL, 
	text TEXT NOT NULL, 
	media_id INTEGER, 
	expected TEXT NOT NULL, 
	CONSTRAINT pk_practice PRIMARY KEY (id), 
	CONSTRAINT fk_practice_media_id FOREIGN KEY(media_id) REFERENCES media (id), 
	CONSTRAINT uq_practice_position UNIQUE (position), 
	CONSTRAINT uq_practice_public_id UNIQUE (public_id)
);
INSERT INTO "practice" VALUES(1,'BLB7TsiAJW_tfW_ksU8BLw',0,'','a person saw 8 =rot 😀 houses near the river bank',4,'{"coherence":{"high":5,"low":4,"why":"A person wrote this, and its parts belong together."},"fluency":{"high":5,"low":4,"why":"A person wrote this, and it reads like it."},"informativeness":{"high":5,"low":2,"why":"It tells the main thing at least; how much more is for you to judge."},"relevance":{"high":5,"low":4,"why":"A person wrote this about this very image."}}');
INSERT INTO "practice" VALUES(2,'XPz-wHn-GfKJ38hqrQyirQ',1,'','a person saw 9 =rot 😀 houses near the river bank',5,'{"coherence":{"high":5,"low":3,"why":"The text makes sense by itself; that it belongs to another image does not matter here."},"fluency":{"high":5,"low":3,"why":"The language is fine; that it belongs to another image does not matter here."},"informativeness":{"high":5,"low":1,"why":"Any value can be right here: judge for yourself."},"relevance":{"high":2,"low":1,"why":"This text was written about another image."}}');
INSERT INTO "practice" VALUES(3,'ONJGpH36IQW5l75itcGwAA',2,'','river houses the saw person =rot 3 😀 near bank a',6,'{"coherence":{"high":3,"low":1,"why":"With its words out of order, the thought can only be guessed."},"fluency":{"high":2,"low":1,"why":"Its words are out of order."},"informativeness":{"high":5,"low":1,"why":"Any value can be right here: judge for yourself."},"relevance":{"high":5,"low":1,"why":"Any value can be right here: judge for yourself."}}');
INSERT INTO "practice" VALUES(4,'-g_dkXVnsO4wtzbUgkiwug',3,'','a person saw 4 =rot 😀 houses near the river bank',7,'{"coherence":{"high":5,"low":4,"why":"A person wrote this, and its parts belong together."},"fluency":{"high":5,"low":4,"why":"A person wrote this, and it reads like it."},"informativeness":{"high":5,"low":2,"why":"It tells the main thing at least; how much more is for you to judge."},"relevance":{"high":5,"low":4,"why":"A person wrote this about this very image."}}');
INSERT INTO "practice" VALUES(5,'aY6GWL0dOto8exq7Gobjsw',4,'','a person saw 9 =rot 😀 houses near the river bank',8,'{"coherence":{"high":5,"low":3,"why":"The text makes sense by itself; that it belongs to another image does not matter here."},"fluency":{"high":5,"low":3,"why":"The language is fine; that it belongs to another image does not matter here."},"informativeness":{"high":5,"low":1,"why":"Any value can be right here: judge for yourself."},"relevance":{"high":2,"low":1,"why":"This text was written about another image."}}');
INSERT INTO "practice" VALUES(6,'KY36rBX2EjnuDZ1ywLTLqQ',5,'','near bank saw houses person a =rot river 0 😀 the',9,'{"coherence":{"high":3,"low":1,"why":"With its words out of order, the thought can only be guessed."},"fluency":{"high":2,"low":1,"why":"Its words are out of order."},"informativeness":{"high":5,"low":1,"why":"Any value can be right here: judge for yourself."},"relevance":{"high":5,"low":1,"why":"Any value can be right here: judge for yourself."}}');
CREATE TABLE practice_answer (
	id INTEGER NOT NULL, 
	practice_id INTEGER NOT NULL, 
	annotator_id INTEGER NOT NULL, 
	given TEXT NOT NULL, 
	inside INTEGER NOT NULL, 
	asked INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_practice_answer PRIMARY KEY (id), 
	CONSTRAINT fk_practice_answer_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_practice_answer_practice_id FOREIGN KEY(practice_id) REFERENCES practice (id)
);
INSERT INTO "practice_answer" VALUES(1,1,1,'{"coherence":3,"fluency":3,"informativeness":3,"relevance":3}',1,4,1772355600004);
INSERT INTO "practice_answer" VALUES(2,1,1,'{"coherence":4,"fluency":4,"informativeness":2,"relevance":4}',4,4,1772355600005);
INSERT INTO "practice_answer" VALUES(3,2,1,'{"coherence":3,"fluency":3,"informativeness":3,"relevance":3}',3,4,1772355600006);
INSERT INTO "practice_answer" VALUES(4,2,1,'{"coherence":3,"fluency":3,"informativeness":1,"relevance":1}',4,4,1772355600007);
INSERT INTO "practice_answer" VALUES(5,3,1,'{"coherence":3,"fluency":3,"informativeness":3,"relevance":3}',3,4,1772355600008);
INSERT INTO "practice_answer" VALUES(6,3,1,'{"coherence":1,"fluency":1,"informativeness":1,"relevance":1}',4,4,1772355600009);
INSERT INTO "practice_answer" VALUES(7,4,1,'{"coherence":3,"fluency":3,"informativeness":3,"relevance":3}',1,4,1772355600010);
INSERT INTO "practice_answer" VALUES(8,4,1,'{"coherence":4,"fluency":4,"informativeness":2,"relevance":4}',4,4,1772355600011);
INSERT INTO "practice_answer" VALUES(9,5,1,'{"coherence":3,"fluency":3,"informativeness":3,"relevance":3}',3,4,1772355600012);
INSERT INTO "practice_answer" VALUES(10,5,1,'{"coherence":3,"fluency":3,"informativeness":1,"relevance":1}',4,4,1772355600013);
INSERT INTO "practice_answer" VALUES(11,6,1,'{"coherence":3,"fluency":3,"informativeness":3,"relevance":3}',3,4,1772355600014);
INSERT INTO "practice_answer" VALUES(12,6,1,'{"coherence":1,"fluency":1,"informativeness":1,"relevance":1}',4,4,1772355600015);
CREATE TABLE qc_decision (
	id INTEGER NOT NULL, 
	signal_id INTEGER NOT NULL, 
	decision TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	decided_by TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_qc_decision PRIMARY KEY (id), 
	CONSTRAINT ck_qc_decision_decision CHECK (decision IN ('dismissed', 'excluded')), 
	CONSTRAINT fk_qc_decision_signal_id FOREIGN KEY(signal_id) REFERENCES qc_signal (id), 
	CONSTRAINT uq_qc_decision_signal_id UNIQUE (signal_id)
);
CREATE TABLE qc_signal (
	id INTEGER NOT NULL, 
	annotator_id INTEGER NOT NULL, 
	rule TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	value DOUBLE NOT NULL, 
	threshold DOUBLE NOT NULL, 
	evidence TEXT NOT NULL, 
	computed_at BIGINT NOT NULL, 
	CONSTRAINT pk_qc_signal PRIMARY KEY (id), 
	CONSTRAINT fk_qc_signal_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id)
);
CREATE TABLE rating (
	event_id TEXT NOT NULL, 
	aspect_id INTEGER NOT NULL, 
	value INTEGER NOT NULL, 
	CONSTRAINT pk_rating PRIMARY KEY (event_id, aspect_id), 
	CONSTRAINT ck_rating_value CHECK (value BETWEEN 1 AND 5), 
	CONSTRAINT fk_rating_aspect_id FOREIGN KEY(aspect_id) REFERENCES aspect (id), 
	CONSTRAINT fk_rating_event_id FOREIGN KEY(event_id) REFERENCES submission (event_id)
);
INSERT INTO "rating" VALUES('76e41dd4-b2f1-495c-99ca-9285f9ba9cf4',1,4);
INSERT INTO "rating" VALUES('76e41dd4-b2f1-495c-99ca-9285f9ba9cf4',2,4);
INSERT INTO "rating" VALUES('76e41dd4-b2f1-495c-99ca-9285f9ba9cf4',3,4);
INSERT INTO "rating" VALUES('76e41dd4-b2f1-495c-99ca-9285f9ba9cf4',4,4);
INSERT INTO "rating" VALUES('95bd2d47-f8ca-4737-be0b-259617f87822',1,5);
INSERT INTO "rating" VALUES('95bd2d47-f8ca-4737-be0b-259617f87822',2,5);
INSERT INTO "rating" VALUES('95bd2d47-f8ca-4737-be0b-259617f87822',3,5);
INSERT INTO "rating" VALUES('95bd2d47-f8ca-4737-be0b-259617f87822',4,5);
CREATE TABLE refused (
	id INTEGER NOT NULL, 
	annotator_id INTEGER, 
	reason TEXT NOT NULL, 
	content TEXT NOT NULL, 
	content_sha256 TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_refused PRIMARY KEY (id), 
	CONSTRAINT fk_refused_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT uq_refused_content_sha256 UNIQUE (content_sha256)
);
INSERT INTO "refused" VALUES(1,1,'event-id','{"no":1}','52dc54c3101fe549b7312a94ebeb0354188844d702c177030212a44d7d6e329a',1772355600021);
CREATE TABLE seat_key (
	key_sha256 TEXT NOT NULL, 
	annotator_id INTEGER NOT NULL, 
	created_at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	CONSTRAINT pk_seat_key PRIMARY KEY (key_sha256), 
	CONSTRAINT fk_seat_key_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id)
);
INSERT INTO "seat_key" VALUES('0b898e3c2fec4a5833201ccd34d87b3570a57154430c9232d8d14ca8c597e26d',1,1772355600002,NULL);
CREATE TABLE skip_flag (
	event_id TEXT NOT NULL, 
	slot_id INTEGER NOT NULL, 
	annotator_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	note TEXT NOT NULL, 
	status TEXT NOT NULL, 
	received_at BIGINT NOT NULL, 
	payload_sha256 TEXT NOT NULL, 
	CONSTRAINT pk_skip_flag PRIMARY KEY (event_id), 
	CONSTRAINT ck_skip_flag_kind CHECK (kind IN ('skip', 'flag')), 
	CONSTRAINT ck_skip_flag_reason CHECK (reason IN ('image-missing', 'text-unreadable', 'wrong-language', 'offensive', 'other')), 
	CONSTRAINT ck_skip_flag_status CHECK (status IN ('current', 'superseded', 'surplus')), 
	CONSTRAINT fk_skip_flag_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_skip_flag_slot_id FOREIGN KEY(slot_id) REFERENCES slot (id)
);
INSERT INTO "skip_flag" VALUES('924eb20a-1bae-4fb0-8259-bafead0f3e0d',2,1,'skip','other','—','current',1772355600020,'16be8d7060e4e3cd46f1808ebf24f437ea36092931d66317a04aace2d7162331');
CREATE TABLE slot (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	block_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	output_id INTEGER NOT NULL, 
	counted BOOLEAN NOT NULL, 
	repeat_planned BOOLEAN NOT NULL, 
	repeats_id INTEGER, 
	CONSTRAINT pk_slot PRIMARY KEY (id), 
	CONSTRAINT fk_slot_block_id FOREIGN KEY(block_id) REFERENCES block (id), 
	CONSTRAINT fk_slot_output_id FOREIGN KEY(output_id) REFERENCES output (id), 
	CONSTRAINT fk_slot_repeats_id FOREIGN KEY(repeats_id) REFERENCES slot (id), 
	CONSTRAINT uq_slot_block_id_output_id UNIQUE (block_id, output_id), 
	CONSTRAINT uq_slot_block_id_position UNIQUE (block_id, position), 
	CONSTRAINT uq_slot_public_id UNIQUE (public_id)
);
INSERT INTO "slot" VALUES(1,'xGAmFCKapmYBNxEeCvZadg',1,0,6,1,0,NULL);
INSERT INTO "slot" VALUES(2,'n21AwWmGhmTi6nYav7HhNA',1,1,5,1,0,NULL);
INSERT INTO "slot" VALUES(3,'AeQsRO2mwAZ8C8QRxq_qwA',2,0,3,1,0,NULL);
INSERT INTO "slot" VALUES(4,'4ncRYDEdk2KOxuZylVqSmQ',2,1,4,1,0,NULL);
INSERT INTO "slot" VALUES(5,'5JVGCU_KzjMta1hVnruN8Q',3,0,2,1,0,NULL);
INSERT INTO "slot" VALUES(6,'-ZrpAIyHzBAbXXozv298ug',3,1,7,0,0,NULL);
INSERT INTO "slot" VALUES(7,'Pj339mYsMs06O9Sw5Iyc5A',3,2,1,1,0,NULL);
INSERT INTO "slot" VALUES(8,'y7Drn8X6Nr6YgQSBRkpiUQ',4,0,5,1,0,NULL);
INSERT INTO "slot" VALUES(9,'xPNEuQCrrIIDF_26FZERag',4,1,6,1,0,NULL);
INSERT INTO "slot" VALUES(10,'Ap1TqEdD6tD0hBxS4_rCKg',5,0,1,1,0,NULL);
INSERT INTO "slot" VALUES(11,'EJzcaV7nzvYPNPbNydr4gw',5,1,2,1,0,NULL);
INSERT INTO "slot" VALUES(12,'GofLyDOBr25qY2dyUBoVTg',6,0,4,1,0,NULL);
INSERT INTO "slot" VALUES(13,'lgkAoM5AT8ohiylqjZtrBA',6,1,3,1,0,NULL);
INSERT INTO "slot" VALUES(14,'QXlqJh1P7JLDBMn_m4qxwg',7,0,5,1,0,NULL);
CREATE TABLE submission (
	event_id TEXT NOT NULL, 
	slot_id INTEGER NOT NULL, 
	annotator_id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	client_revision INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	shown_at BIGINT, 
	first_at BIGINT, 
	sent_at BIGINT, 
	active_ms INTEGER NOT NULL, 
	hidden_ms INTEGER NOT NULL, 
	changes INTEGER NOT NULL, 
	input TEXT NOT NULL, 
	client TEXT NOT NULL, 
	received_at BIGINT NOT NULL, 
	payload_sha256 TEXT NOT NULL, 
	CONSTRAINT pk_submission PRIMARY KEY (event_id), 
	CONSTRAINT ck_submission_status CHECK (status IN ('current', 'superseded', 'surplus', 'withdrawn')), 
	CONSTRAINT ck_submission_revision CHECK (revision >= 0), 
	CONSTRAINT fk_submission_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_submission_slot_id FOREIGN KEY(slot_id) REFERENCES slot (id), 
	CONSTRAINT uq_submission_slot_id_annotator_id_revision UNIQUE (slot_id, annotator_id, revision)
);
INSERT INTO "submission" VALUES('76e41dd4-b2f1-495c-99ca-9285f9ba9cf4',1,1,0,0,'superseded',1772355600000,1772355604000,1772355612345,12345,0,1,'keys','test/1',1772355600018,'5418cc4710a2a126631db3f39dc1778055fe7bfdd31030d649ebf605b7d8afcb');
INSERT INTO "submission" VALUES('95bd2d47-f8ca-4737-be0b-259617f87822',1,1,1,1,'current',1772355600000,1772355604000,1772355612345,12345,0,1,'keys','test/1',1772355600019,'461a45ac7efef5f04b1396ceece48042ca74e34c02804d07605477252204ee19');
CREATE TABLE system (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	decoder TEXT NOT NULL, 
	identity TEXT NOT NULL, 
	config TEXT NOT NULL, 
	CONSTRAINT pk_system PRIMARY KEY (id), 
	CONSTRAINT uq_system_name UNIQUE (name)
);
INSERT INTO "system" VALUES(1,'magic','magic','0000000000000000000000000000000000000000000000000000000000000000','{"k":0}');
INSERT INTO "system" VALUES(2,'beam','beam','0000000000000000000000000000000000000000000000000000000000000001','{"k":1}');
CREATE INDEX ix_join_try_address_sha256_at ON join_try (address_sha256, at);
CREATE INDEX ix_block_annotator_id_state ON block (annotator_id, state);
CREATE INDEX ix_block_state_done_at ON block (state, done_at);
CREATE INDEX ix_block_state_lane_seq ON block (state, lane, seq);
CREATE INDEX ix_qc_signal_annotator_id ON qc_signal (annotator_id);
CREATE INDEX ix_seat_key_annotator_id ON seat_key (annotator_id);
CREATE INDEX ix_lease_annotator_id_block_id ON lease (annotator_id, block_id);
CREATE INDEX ix_output_item_id ON output (item_id);
CREATE INDEX ix_practice_answer_annotator_id ON practice_answer (annotator_id);
CREATE INDEX ix_origin_system_id ON origin (system_id);
CREATE INDEX ix_slot_output_id ON slot (output_id);
CREATE INDEX ix_skip_flag_annotator_id ON skip_flag (annotator_id);
CREATE INDEX ix_skip_flag_slot_id ON skip_flag (slot_id);
CREATE INDEX ix_submission_annotator_id_received_at ON submission (annotator_id, received_at);
CREATE UNIQUE INDEX uq_submission_current ON submission (slot_id) WHERE status = 'current';
CREATE INDEX ix_exclusion_annotator_id ON exclusion (annotator_id);
CREATE INDEX ix_exclusion_event_id ON exclusion (event_id);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER rating_no_update BEFORE UPDATE ON rating BEGIN SELECT RAISE(ABORT, 'rating is append-only'); END;
CREATE TRIGGER rating_no_delete BEFORE DELETE ON rating BEGIN SELECT RAISE(ABORT, 'rating is append-only'); END;
CREATE TRIGGER lease_no_update BEFORE UPDATE ON lease BEGIN SELECT RAISE(ABORT, 'lease is append-only'); END;
CREATE TRIGGER lease_no_delete BEFORE DELETE ON lease BEGIN SELECT RAISE(ABORT, 'lease is append-only'); END;
CREATE TRIGGER refused_no_update BEFORE UPDATE ON refused BEGIN SELECT RAISE(ABORT, 'refused is append-only'); END;
CREATE TRIGGER refused_no_delete BEFORE DELETE ON refused BEGIN SELECT RAISE(ABORT, 'refused is append-only'); END;
CREATE TRIGGER qc_signal_no_update BEFORE UPDATE ON qc_signal BEGIN SELECT RAISE(ABORT, 'qc_signal is append-only'); END;
CREATE TRIGGER qc_signal_no_delete BEFORE DELETE ON qc_signal BEGIN SELECT RAISE(ABORT, 'qc_signal is append-only'); END;
CREATE TRIGGER qc_decision_no_update BEFORE UPDATE ON qc_decision BEGIN SELECT RAISE(ABORT, 'qc_decision is append-only'); END;
CREATE TRIGGER qc_decision_no_delete BEFORE DELETE ON qc_decision BEGIN SELECT RAISE(ABORT, 'qc_decision is append-only'); END;
CREATE TRIGGER origin_no_update BEFORE UPDATE ON origin BEGIN SELECT RAISE(ABORT, 'origin is append-only'); END;
CREATE TRIGGER origin_no_delete BEFORE DELETE ON origin BEGIN SELECT RAISE(ABORT, 'origin is append-only'); END;
CREATE TRIGGER submission_no_update BEFORE UPDATE OF event_id, slot_id, annotator_id, revision, client_revision, shown_at, first_at, sent_at, active_ms, hidden_ms, changes, input, client, received_at, payload_sha256 ON submission BEGIN SELECT RAISE(ABORT, 'submission is append-only'); END;
CREATE TRIGGER submission_no_delete BEFORE DELETE ON submission BEGIN SELECT RAISE(ABORT, 'submission is append-only'); END;
CREATE TRIGGER skip_flag_no_update BEFORE UPDATE OF event_id, slot_id, annotator_id, kind, reason, note, received_at, payload_sha256 ON skip_flag BEGIN SELECT RAISE(ABORT, 'skip_flag is append-only'); END;
CREATE TRIGGER skip_flag_no_delete BEFORE DELETE ON skip_flag BEGIN SELECT RAISE(ABORT, 'skip_flag is append-only'); END;
CREATE TRIGGER exclusion_no_update BEFORE UPDATE OF annotator_id, event_id, rule, reason, decided_by, at ON exclusion BEGIN SELECT RAISE(ABORT, 'exclusion is append-only'); END;
CREATE TRIGGER exclusion_no_delete BEFORE DELETE ON exclusion BEGIN SELECT RAISE(ABORT, 'exclusion is append-only'); END;
CREATE TRIGGER campaign_no_update BEFORE UPDATE OF protocol, protocol_sha256, seed, k, lanes, task, suite ON campaign WHEN EXISTS (SELECT 1 FROM submission) BEGIN SELECT RAISE(ABORT, 'campaign is append-only'); END;
COMMIT;
