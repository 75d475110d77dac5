// What outlasts a reload: files, results and the session, in IndexedDB; where that is refused, nothing is kept.

const NAME = "stylization";
const STORES = ["files", "results", "session"];
let opened;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => STORES.forEach((store) => request.result.createObjectStore(store));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Runs `work(objectStore)` in a transaction; resolves to its request's result, or to `fallback` if nothing can be kept. */
async function transact(store, mode, work, fallback) {
  try {
    const database = await open();
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode);
      const request = work(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    return fallback; // a private window, or a full disk
  }
}

export const read = (store, key) => transact(store, "readonly", (held) => held.get(key));
export const readAll = (store) => transact(store, "readonly", (held) => held.getAll(), []);
export const write = (store, key, value) => transact(store, "readwrite", (held) => held.put(value, key));
export const remove = (store, key) => transact(store, "readwrite", (held) => held.delete(key));
export const keys = (store) => transact(store, "readonly", (held) => held.getAllKeys(), []);

/** Forgets everything. */
export const clear = () => Promise.all(STORES.map((store) => transact(store, "readwrite", (held) => held.clear())));

const keyOf = new WeakMap();

const MOST_HASHED_BYTES = 400e6; // a browser hashes only what it has read whole into memory

/** A file's key: its SHA-256 where the browser can hash it; else one of this File object. */
export function fileKey(file) {
  if (!keyOf.has(file)) keyOf.set(file, makeKey(file));
  return keyOf.get(file);
}

async function makeKey(file) {
  if (!globalThis.crypto?.subtle || file.size > MOST_HASHED_BYTES) return `${file.name}-${file.size}-${file.lastModified}-${Math.random().toString(36).slice(2)}`;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Keeps the file under its key. */
export async function keepFile(file) {
  const key = await fileKey(file);
  if ((await read("files", key)) === undefined) await write("files", key, file);
  return key;
}

/** The kept file, or undefined. */
export async function keptFile(key) {
  const file = await read("files", key);
  if (file) keyOf.set(Object.assign(file, { kept: true }), Promise.resolve(key));
  return file;
}
