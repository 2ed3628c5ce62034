// A program that has two containers running through the snapshotter that it is given, says `ready`,
// and waits to be told to end.
import { debianContainerd } from './clients.ts';
import { VarveNode } from './varve-node.ts';

const [command = ''] = process.argv.slice(2);
const client = await debianContainerd();
if ('missing' in client) throw new Error(client.missing);
const node = await VarveNode.start({ prefix: 'i-', client, command, hasBlockDaemon: false });
const image = await node.image('ordinary');
await node.import(image);
for (const name of ['first', 'second']) await node.startContainer(image, name);
process.stdout.write('ready\n');
// The services keep this process alive.
