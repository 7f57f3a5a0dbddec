/**
 * A client for Node that shares no code with RLMesh, written from the page of the protocol.
 *
 *     node client.cjs PROTO_FOLDER ADDRESS ACTIONS
 *
 * It drives the environment that is served at ADDRESS, `HOST:PORT`, over gRPC: a reset with seed 7,
 * for a vector environment with the seeds 7, 8, ..., and a step for each of the ACTIONS, a JSON
 * list. It prints as JSON what it has seen. It shows the token in the variable RLMESH_TOKEN, if
 * there is one. Comments repeat what the page says.
 */
"use strict";

const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const msgpack = require("@msgpack/msgpack");

// How a DataView reads and writes the elements of each dtype, and their size.
const FORMATS = {
  BOOL: ["Uint8", 1],
  INT8: ["Int8", 1],
  INT16: ["Int16", 2],
  INT32: ["Int32", 4],
  INT64: ["BigInt64", 8],
  UINT8: ["Uint8", 1],
  UINT16: ["Uint16", 2],
  UINT32: ["Uint32", 4],
  UINT64: ["BigUint64", 8],
  FLOAT32: ["Float32", 4],
  FLOAT64: ["Float64", 8],
};

/** The spaces that hold no other space, in declared order, depth first. */
function leaves(space) {
  if (space.kind === "tuple") return space.tuple.spaces.flatMap(leaves);
  if (space.kind === "dict") return space.dict.entries.flatMap((entry) => leaves(entry.space));
  return [space];
}

/** The shape of a leaf's array in one sub-environment, and its format. */
function form(leaf) {
  const arm = leaf[leaf.kind];
  if (leaf.kind === "text") return [[], FORMATS.UINT32];
  if (leaf.kind === "multi_binary") return [arm.shape.map(Number), FORMATS.INT8];
  const format = FORMATS[arm.dtype.replace("DTYPE_", "")];
  if (!format) throw new Error(`this client does not read ${arm.dtype}`);
  return [leaf.kind === "discrete" ? [] : arm.shape.map(Number), format];
}

/** The number of elements of a leaf's array; sub-environments come first in its shape. */
function count(shape, numEnvs) {
  return shape.reduce((product, axis) => product * axis, numEnvs);
}

function plain(number) {
  return typeof number === "bigint" ? Number(number) : number;
}

/** The value in a slab. Arrays are lists in C order; a scalar of a single environment is bare. */
function decode(space, slab, numEnvs, vector) {
  const view = new DataView(slab.buffer, slab.byteOffset, slab.byteLength);
  let offset = 0;
  const arrays = leaves(space).map((leaf) => {
    const [shape, [name, size]] = form(leaf);
    // An array begins at the first offset that is a multiple of 8.
    offset = Math.ceil(offset / 8) * 8;
    const array = [];
    for (let left = count(shape, numEnvs); left > 0; left--, offset += size) {
      array.push(plain(view[`get${name}`](offset, true)));
    }
    return array;
  });
  // The tail begins right after the last array, without padding: leaf after leaf and, in a leaf,
  // sub-environment after sub-environment.
  const values = leaves(space).map((leaf, index) => {
    let value = arrays[index];
    if (leaf.kind === "text") {
      value = value.map((length) => {
        offset += length;
        return slab.subarray(offset - length, offset).toString("utf8");
      });
    }
    const scalar = leaf.kind === "text" || leaf.kind === "discrete";
    return scalar && !vector ? value[0] : value;
  });
  if (offset !== slab.length) throw new Error("the slab ends with the tail");
  return assemble(space, values.values());
}

function assemble(space, values) {
  if (space.kind === "tuple") return space.tuple.spaces.map((part) => assemble(part, values));
  if (space.kind === "dict") {
    return Object.fromEntries(
      space.dict.entries.map((entry) => [entry.key, assemble(entry.space, values)]),
    );
  }
  return values.next().value;
}

function takeApart(space, value) {
  if (space.kind === "tuple") {
    return space.tuple.spaces.flatMap((part, index) => takeApart(part, value[index]));
  }
  if (space.kind === "dict") {
    return space.dict.entries.flatMap((entry) => takeApart(entry.space, value[entry.key]));
  }
  return [value];
}

/** The slab of a value in the form that `decode` gives. */
function encode(space, value) {
  const parts = [];
  const tail = [];
  let offset = 0;
  takeApart(space, value).forEach((part, index) => {
    const leaf = leaves(space)[index];
    const [, [name, size]] = form(leaf);
    let numbers = [part].flat(Infinity);
    if (leaf.kind === "text") {
      const texts = numbers.map((text) => Buffer.from(text, "utf8"));
      tail.push(...texts);
      numbers = texts.map((text) => text.length);
    }
    const padding = Math.ceil(offset / 8) * 8 - offset;
    const array = Buffer.alloc(padding + numbers.length * size);
    const view = new DataView(array.buffer, array.byteOffset, array.byteLength);
    numbers.forEach((number, place) => {
      const element = name.startsWith("Big") ? BigInt(number) : Number(number);
      view[`set${name}`](padding + place * size, element, true);
    });
    parts.push(array);
    offset += array.length;
  });
  return Buffer.concat([...parts, ...tail]);
}

// A packed value is one MessagePack object; -1, MessagePack's timestamp, is no extension of it.
const extensions = new msgpack.ExtensionCodec();
extensions.register({
  type: -1,
  encode: () => null,
  decode: () => {
    throw new Error("a timestamp is no packed value");
  },
});

/** A packed value as JSON: bytes in hexadecimal, an extension as its type and its payload. */
function unpack(data) {
  return data.length === 0 ? {} : toJson(msgpack.decode(data, { extensionCodec: extensions }));
}

function toJson(value) {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (value instanceof msgpack.ExtData) {
    return [value.type, Buffer.from(value.data).toString("hex")];
  }
  if (Array.isArray(value)) return value.map(toJson);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, toJson(part)]));
}

function service(folder) {
  const definition = loader.loadSync("rlmesh_api/v1/env_service.proto", {
    includeDirs: [path.resolve(folder)],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return grpc.loadPackageDefinition(definition).rlmesh_api.v1.EnvService;
}

/** A session's stream: one call at a time, which gets exactly one answer. */
class Session {
  constructor(client, metadata) {
    this.sequence = 0;
    this.stream = client.Session(metadata);
    this.stream.on("data", (answer) => this.waiting.resolve(answer));
    this.stream.on("error", (error) => this.waiting.reject(error));
    this.ended = new Promise((resolve) => this.stream.on("status", resolve));
  }

  /** 1 for `open`, then one more for every call. */
  async call(kind, fields = {}) {
    this.sequence += 1;
    const answer = await new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.stream.write({ sequence: String(this.sequence), [kind]: fields });
    });
    if (answer.sequence !== String(this.sequence) || answer.answer !== kind) {
      throw new Error(`call ${this.sequence} was answered with ${JSON.stringify(answer)}`);
    }
    return answer[kind];
  }
}

async function drive(folder, address, actions) {
  const Client = service(folder);
  // The largest message has 2^30 bytes.
  const client = new Client(address, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": 2 ** 30,
    "grpc.max_send_message_length": 2 ** 30,
  });
  const metadata = new grpc.Metadata();
  if (process.env.RLMESH_TOKEN) {
    metadata.set("authorization", `Bearer ${process.env.RLMESH_TOKEN}`);
  }
  const { contract, protocol_generation: generation } = await new Promise((resolve, reject) =>
    client.GetContract({}, metadata, (error, told) => (error ? reject(error) : resolve(told))),
  );
  const { vector, num_envs: numEnvs } = contract;
  const observation = (slab) => decode(contract.observation_space, slab, numEnvs, vector);

  const session = new Session(client, metadata);
  await session.call("open", {
    peer: { name: "foreign", version: "0", pid: String(process.pid) },
    protocol_generation: Math.min(1, generation),
  });
  const seed = vector ? Array.from({ length: numEnvs }, (_, index) => 7 + index) : 7;
  const reset = await session.call("reset", { seed: Buffer.from(msgpack.encode(seed)) });
  const seen = {
    id: contract.id,
    observation: observation(reset.observation),
    info: unpack(reset.info),
    steps: [],
  };
  for (const action of actions) {
    const step = await session.call("step", { action: encode(contract.action_space, action) });
    seen.steps.push({
      observation: observation(step.observation),
      reward: step.rewards,
      terminated: step.terminations,
      truncated: step.truncations,
      info: unpack(step.info),
    });
  }
  await session.call("close");
  // The server ends the stream after the answer to `close`.
  const status = await session.ended;
  if (status.code !== grpc.status.OK) throw new Error(`the stream ended with ${status.code}`);
  client.close();
  return seen;
}

const [folder, address, actions] = process.argv.slice(2);
drive(folder, address, JSON.parse(actions)).then(
  (seen) => process.stdout.write(JSON.stringify(seen)),
  (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  },
);
