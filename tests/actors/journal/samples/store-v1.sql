BEGIN TRANSACTION;
CREATE TABLE records (
	run_id TEXT NOT NULL, 
	seq INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	step_key TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	body TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	crc BIGINT NOT NULL, 
	PRIMARY KEY (run_id, seq)
);
INSERT INTO "records" VALUES('sample',1,'created','',0,0,1.795261956322268486e+09,'{"lines":["sample: workflow: list[int] -> dict[str, int], state Tally", "body: foreach: list[int] -> list[int]", "body*: workflow: int -> int", "body/add: step: int -> int", "sum: map: list[int] -> int", "grow: loop: int -> int", "grow*: step: int -> int", "sleep-1: sleep: int -> int", "ask: step: int -> int", "branch(big|small): branch first", "big: step: int -> int", "small: step: int -> int", "parallel(add,flaky): parallel", "add: step: int -> int", "flaky: step: int -> int"],"output":[1,2]}',1,3719631566);
INSERT INTO "records" VALUES('sample',2,'claimed','',0,1,1.7952619563562004566e+09,'{"owner": "sampler", "was": "pending", "take_over": false}',1,1088330211);
INSERT INTO "records" VALUES('sample',3,'chosen','body',0,1,1.79526195636161875731e+09,'{"items": [["0", []], ["1", []]]}',1,3929028860);
INSERT INTO "records" VALUES('sample',4,'started','body[0]/add',1,1,1.79526195636161875731e+09,'{}',1,2745614147);
INSERT INTO "records" VALUES('sample',5,'started','body[1]/add',1,1,1.79526195636161875731e+09,'{}',1,2745614147);
INSERT INTO "records" VALUES('sample',6,'done','body[0]/add',1,1,1.79526195636507201192e+09,'{"state":{"total": "1"},"output":2}',1,701962836);
INSERT INTO "records" VALUES('sample',7,'done','body[1]/add',1,1,1.79526195636507201192e+09,'{"state":{"total": "1"},"output":3}',1,818686741);
INSERT INTO "records" VALUES('sample',8,'done','sum',1,1,1.79526195636507201192e+09,'{"output":5}',1,1453871388);
INSERT INTO "records" VALUES('sample',9,'started','grow#1',1,1,1.79526195636507201192e+09,'{}',1,2745614147);
INSERT INTO "records" VALUES('sample',10,'done','grow#1',1,1,1.7952619563659682274e+09,'{"state":{"total": "1"},"output":6}',1,1304158032);
INSERT INTO "records" VALUES('sample',11,'iteration','grow#1',1,1,1.7952619563659682274e+09,'{"iteration": 1, "stop": false}',1,136252682);
INSERT INTO "records" VALUES('sample',12,'started','grow#2',1,1,1.7952619563659682274e+09,'{}',1,2745614147);
INSERT INTO "records" VALUES('sample',13,'done','grow#2',1,1,1.79526195636811542509e+09,'{"state":{"total": "1"},"output":7}',1,1419832849);
INSERT INTO "records" VALUES('sample',14,'iteration','grow#2',2,1,1.79526195636811542509e+09,'{"iteration": 2, "stop": false}',1,1535465102);
INSERT INTO "records" VALUES('sample',15,'started','grow#3',1,1,1.79526195636811542509e+09,'{}',1,2745614147);
INSERT INTO "records" VALUES('sample',16,'done','grow#3',1,1,1.79526195637034440043e+09,'{"state":{"total": "1"},"output":8}',1,3543724766);
INSERT INTO "records" VALUES('sample',17,'iteration','grow#3',3,1,1.79526195637034440043e+09,'{"iteration": 3, "stop": true}',1,3195403160);
INSERT INTO "records" VALUES('sample',18,'sleeping','sleep-1',0,1,1.79526195637034440043e+09,'{"until": 1795261956.3689024}',1,2404313398);
INSERT INTO "records" VALUES('sample',19,'done','sleep-1',1,1,1.79526195637151432041e+09,'{"output":null}',1,3180726724);
INSERT INTO "records" VALUES('sample',20,'started','ask',1,1,1.79526195637151432041e+09,'{}',1,2745614147);
INSERT INTO "records" VALUES('sample',21,'suspended','ask',1,1,1.79526195637433099751e+09,'{"label":"gate","payload":"{}","deadline":null,"default":null}',1,3865711375);
CREATE TABLE runs (
	run_id TEXT NOT NULL, 
	workflow TEXT NOT NULL, 
	definition TEXT NOT NULL, 
	status TEXT NOT NULL, 
	title TEXT NOT NULL, 
	created_at DOUBLE NOT NULL, 
	updated_at DOUBLE NOT NULL, 
	seq INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	owner TEXT NOT NULL, 
	lease_until DOUBLE NOT NULL, 
	cancel_requested BOOLEAN NOT NULL, 
	parent TEXT, 
	PRIMARY KEY (run_id)
);
INSERT INTO "runs" VALUES('sample','sample','370fec453a273458','suspended','sample',1.795261956322268486e+09,1.7952619563785808086e+09,21,1,'',0.0,0,NULL);
CREATE TABLE steps (
	run_id TEXT NOT NULL, 
	step_key TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	PRIMARY KEY (run_id, step_key)
)
 WITHOUT ROWID

;
CREATE TABLE versions (
	version INTEGER NOT NULL, 
	since DOUBLE NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "versions" VALUES(1,1.79526195628836274147e+09);
COMMIT;
