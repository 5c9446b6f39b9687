// Hands a WASI program its arguments, the environment and the file system: see `wasi`.
import { readFile } from 'node:fs/promises';
import { argv, cwd, env } from 'node:process';
import { WASI } from 'node:wasi';

const args = argv.slice(2);
const wasi = new WASI({
  version: 'preview1', args, env, preopens: { '/': '/', '.': cwd() }, returnOnExit: true,
});
const { instance } = await WebAssembly.instantiate(await readFile(args[0]), {
  wasi_snapshot_preview1: wasi.wasiImport,
});
process.exitCode = wasi.start(instance);
