# node itself: files, workers, child processes.
node -e '
const fs = require("fs"), os = require("os"), path = require("path");
const d = fs.mkdtempSync(path.join(process.cwd(), "n-"));
for (let i = 0; i < 200; i++) fs.writeFileSync(path.join(d, "f" + i), "x".repeat(i));
console.log(fs.readdirSync(d).length);
fs.cpSync(d, d + "-copy", { recursive: true });
fs.rmSync(d, { recursive: true });
console.log(fs.readdirSync(d + "-copy").length, fs.existsSync(d));
console.log(require("child_process").spawnSync("sh", ["-c", "exit 5"]).status);
const { Worker } = require("worker_threads");
new Worker("require(\"worker_threads\").parentPort.postMessage(6*7)", { eval: true }).on("message", console.log);
fs.promises.readFile("/etc/hostname").then((b) => console.log(b.length > 0));
'
