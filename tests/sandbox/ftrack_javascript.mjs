// What ftrack's own JavaScript client does against a server, under Node; prints what it saw as JSON.
import { Session, expression, operation } from "@ftrack/api";

// To upload, the client needs what browsers have and Node has not.
globalThis.window = { navigator: { onLine: true }, addEventListener() {}, removeEventListener() {} };
globalThis.XMLHttpRequest = class {
  upload = { addEventListener() {} };
  headers = {};
  addEventListener() {}
  open(method, url) {
    Object.assign(this, { method, url });
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  getResponseHeader(name) {
    return this.answer.headers.get(name);
  }
  async send(body) {
    this.answer = await fetch(this.url, { method: this.method, headers: this.headers, body });
    this.status = this.answer.status;
    this.response = await this.answer.text();
    this.readyState = 4;
    this.onreadystatechange?.();
    this.onload?.();
  }
};

const { FTRACK_SERVER, FTRACK_API_USER, FTRACK_API_KEY } = process.env;
const session = new Session(FTRACK_SERVER, FTRACK_API_USER, FTRACK_API_KEY, { autoConnectEventHub: true });
await session.initializing;
const told = { version: session.serverInformation.version, schemas: session.schemas.length };

// Jobs.
const jane = (await session.query(expression`select id from User where username is ${"jane"}`)).data[0];
const job = (await session.create("Job", { user_id: jane.id, status: "running" })).data;
told.created = [job.type, job.status, job.user_id === jane.id];

// The event hub. A subscription takes a moment to arrive.
const heard = [];
session.eventHub.subscribe("topic=ftrack.update", (event) => {
  heard.push(...event.data.entities); // what a handler returns is sent as a reply
});
while (heard.length === 0) {
  await session.update("Job", [job.id], { data: String(Math.random()) });
  await new Promise((resolve) => setTimeout(resolve, 100));
}
const updated = (await session.update("Job", [job.id], { status: "done" })).data;
told.updated = updated.status;
while (!heard.some((entity) => entity.keys.includes("status"))) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
told.heard = heard.at(-1).changes.status;

// Several operations at once, normalised answers put together by the client.
const both = await session.call([
  operation.query(`select status, user.username from Job where id is "${job.id}"`),
  operation.query("select name from Location where name is 'ftrack.server'"),
]);
told.batch = [both[0].data[0].user.username, both[1].data[0].name];
try {
  await session.query("select nope from Job");
} catch (error) {
  told.refused = [error.name, error.message];
}

// Uploads: one in a single PUT, one in parts.
told.uploads = [];
for (const size of [50_000, 25 * 1024 * 1024]) {
  const file = new File([Buffer.alloc(size, "x")], "plate.mov");
  const answers = await session.createComponent(file, { data: { id: crypto.randomUUID() } });
  const component = answers.find((answer) => answer.data.__entity_type__ === "FileComponent").data;
  const url = session.getComponentUrl(component.id);
  const bytes = await (await fetch(url)).arrayBuffer();
  told.uploads.push([component.name, component.file_type, component.size, bytes.byteLength]);
}

told.deleted = (await session.delete("Job", [job.id])).data;
console.log(JSON.stringify(told));
process.exit(); // the client's timers would go on for half a minute
