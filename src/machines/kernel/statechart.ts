// The wrapper around xstate's machines: the one authority on which event is legal in which state. A
// machine is compiled to a table at load, from its own resolved definition, because folding a long
// history through xstate's transition() is 50 to 200 times slower; a test proves table and machine
// equal on every (state, event). Only a closed subset of xstate is allowed here: regions, named
// guards, named assigns, tags, final states. Anything else is refused at load.
import type { AnyStateMachine } from 'xstate';
import { invariant } from './invariant.ts';

/** What an event of a machine must have. */
export interface ChartEvent {
  readonly type: string;
}

/** One current state per region. */
export type RegionValue = Readonly<Record<string, string>>;

/** Named implementations; pure and total. An assign returns the whole next context. */
export interface Implementations<Context, Event extends ChartEvent> {
  readonly guards: Readonly<Record<string, (context: Context, event: Event) => boolean>>;
  readonly assigns: Readonly<Record<string, (context: Context, event: Event) => Context>>;
}

interface Edge<Context, Event> {
  readonly target: string | undefined;
  readonly guard: ((context: Context, event: Event) => boolean) | undefined;
  readonly assigns: readonly ((context: Context, event: Event) => Context)[];
}

type RegionTable<Context, Event> = ReadonlyMap<
  string,
  ReadonlyMap<string, readonly Edge<Context, Event>[]>
>;

/** A machine as a table. `Value` names the regions and their states. */
export interface Statechart<Value extends object, Context, Event extends ChartEvent> {
  readonly initialValue: Value;
  readonly initialContext: Context;
  readonly regions: Readonly<Record<string, readonly string[]>>;
  readonly eventTypes: readonly string[];
  /** Whether the event is legal now. */
  can(value: Value, context: Context, event: Event): boolean;
  /** The next value and context, or undefined where the event is illegal. */
  step(
    value: Value,
    context: Context,
    event: Event,
  ): { readonly value: Value; readonly context: Context } | undefined;
  /** Whether any current state has the tag. */
  hasTag(value: Value, tag: string): boolean;
}

/** Compiles a parallel machine whose regions hold atomic states only. */
export function compileStatechart<Value extends object, Context, Event extends ChartEvent>(
  machine: AnyStateMachine,
  implementations: Implementations<Context, Event>,
  initialContext: Context,
): Statechart<Value, Context, Event> {
  invariant(machine.root.type === 'parallel', `machine ${machine.id} must be parallel at its root`);
  const tables = new Map<string, RegionTable<Context, Event>>();
  const tags = new Map<string, ReadonlySet<string>>();
  const initialValue: Record<string, string> = {};
  for (const [region, node] of Object.entries(machine.root.states)) {
    tables.set(region, compileRegion(node, implementations));
    initialValue[region] = initialOf(node);
    for (const [name, state] of Object.entries(node.states)) {
      tags.set(`${region}.${name}`, new Set(state.tags));
    }
  }
  const regions = [...tables.keys()];
  const edgeFor = (region: string, value: Value, context: Context, event: Event) =>
    tables
      .get(region)
      ?.get((value as Record<string, string>)[region] ?? '')
      ?.get(event.type)
      ?.find((edge) => edge.guard === undefined || edge.guard(context, event));

  return {
    initialValue: initialValue as Value,
    initialContext,
    regions: Object.fromEntries([...tables].map(([name, table]) => [name, [...table.keys()]])),
    eventTypes: (machine.events as readonly string[]).slice(),
    can: (value, context, event) =>
      regions.some((region) => edgeFor(region, value, context, event) !== undefined),
    step(value, context, event) {
      let nextValue: Record<string, string> | undefined;
      let nextContext = context;
      let isTaken = false;
      for (const region of regions) {
        const edge = edgeFor(region, value, context, event);
        if (edge === undefined) continue;
        isTaken = true;
        for (const assign of edge.assigns) nextContext = assign(nextContext, event);
        if (edge.target !== undefined) {
          nextValue ??= { ...(value as Record<string, string>) };
          nextValue[region] = edge.target;
        }
      }
      return isTaken
        ? { value: (nextValue as Value | undefined) ?? value, context: nextContext }
        : undefined;
    },
    hasTag: (value, tag) =>
      Object.entries(value).some(
        ([region, state]) => tags.get(`${region}.${state}`)?.has(tag) === true,
      ),
  };
}

type AnyNode = AnyStateMachine['root'];

function initialOf(region: AnyNode): string {
  const target = region.initial.target[0];
  invariant(target !== undefined, `region ${region.id} needs an initial state`);
  return target.key;
}

function compileRegion<Context, Event extends ChartEvent>(
  region: AnyNode,
  implementations: Implementations<Context, Event>,
): RegionTable<Context, Event> {
  invariant(region.type === 'compound', `region ${region.id} must be compound`);
  refuseUnsupported(region);
  const table = new Map<string, ReadonlyMap<string, readonly Edge<Context, Event>[]>>();
  for (const [name, state] of Object.entries(region.states)) {
    invariant(state.type === 'atomic' || state.type === 'final', `${state.id} must be atomic`);
    refuseUnsupported(state);
    const edges = new Map<string, readonly Edge<Context, Event>[]>();
    for (const [eventType, transitions] of state.transitions) {
      invariant(!eventType.includes('*'), `${state.id}: wildcards are not allowed`);
      edges.set(
        eventType,
        transitions.map((transition) => ({
          target: targetOf(transition.target, region),
          guard: named(implementations.guards, transition.guard, state.id),
          assigns: transition.actions.map((action) => {
            const assign = named(implementations.assigns, action, state.id);
            invariant(assign !== undefined, `${state.id}: an action needs a name`);
            return assign;
          }),
        })),
      );
    }
    table.set(name, edges);
  }
  return table;
}

function targetOf(target: readonly AnyNode[] | undefined, region: AnyNode): string | undefined {
  if (target === undefined) return undefined;
  const [only, ...others] = target;
  invariant(only !== undefined && others.length === 0, `${region.id}: one target per transition`);
  invariant(only.parent?.id === region.id, `${only.id}: a transition stays in its region`);
  return only.key;
}

function named<Implementation>(
  implementations: Readonly<Record<string, Implementation>>,
  reference: unknown,
  where: string,
): Implementation | undefined {
  if (reference === undefined) return undefined;
  const name = typeof reference === 'string' ? reference : (reference as { type?: unknown }).type;
  invariant(typeof name === 'string', `${where}: guards and actions are named, not inline`);
  const implementation = implementations[name];
  invariant(implementation !== undefined, `${where}: nothing implements ${name}`);
  return implementation;
}

function refuseUnsupported(node: AnyNode): void {
  invariant(node.invoke.length === 0, `${node.id}: no invoke`);
  invariant(node.after.length === 0, `${node.id}: no after`);
  invariant(node.always === undefined || node.always.length === 0, `${node.id}: no always`);
  invariant(node.entry.length === 0 && node.exit.length === 0, `${node.id}: no entry or exit`);
}
