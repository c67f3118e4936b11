const assert = require('assert');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { execFileSync } = require('child_process');

describe('the installed set', () => {
	it('loads', () => {
		assert.strictEqual(require('lodash').chunk([1, 2, 3], 2).length, 2);
		assert.ok(require('typescript').transpile('const a: number = 1').includes('a = 1'));
	});
	it('compiles', () => {
		const out = require('@babel/core').transformSync('const f = (a) => a ?? 1', {
			presets: ['@babel/preset-env'], configFile: false, babelrc: false,
		});
		assert.ok(out.code.includes('function'));
	});
	it('writes, watches and removes files', (done) => {
		const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'medium-'));
		const watcher = fs.watch(dir, () => {
			watcher.close();
			fs.rmSync(dir, { recursive: true });
			done();
		});
		fs.writeFileSync(path.join(dir, 'a.js'), '1');
	});
	it('serves on loopback', (done) => {
		const app = require('express')();
		app.get('/', (req, res) => res.send('hello'));
		const server = app.listen(0, '127.0.0.1', () => {
			http.get({ port: server.address().port }, (res) => {
				let body = '';
				res.on('data', (d) => (body += d));
				res.on('end', () => {
					assert.strictEqual(body, 'hello');
					server.close(done);
				});
			});
		});
	});
	it('starts programs', () => {
		assert.strictEqual(execFileSync('echo', ['out']).toString(), 'out\n');
	});
});
