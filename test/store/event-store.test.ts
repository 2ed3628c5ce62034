// Runs the suite on both stores.
import { MemoryEventStore } from '../../src/adapters/memory/event-store.ts';
import { eventStoreSuite } from './event-store-suite.ts';
import { openSound, removeRoot, scratchRoot } from './opened-store.ts';

eventStoreSuite('memory', async () => {
  const store = new MemoryEventStore();
  return { store, reopen: undefined, close: () => store.close() };
});

eventStoreSuite('level', async () => {
  const root = scratchRoot();
  let { store } = (await openSound(root)).opened;
  return {
    store,
    reopen: async () => {
      await store.close();
      store = (await openSound(root)).opened.store;
      return store;
    },
    close: async () => {
      await store.close();
      removeRoot(root);
    },
  };
});
