// A service that was started here.
import { spawn, type ChildProcess } from 'node:child_process';
import { ServiceProcess, type End, type Service } from './service-process.ts';

export class Child extends ServiceProcess {
  readonly #process: ChildProcess;
  readonly startedMs = Date.now();
  readonly ended: Promise<End>;

  constructor(service: Service) {
    super(service);
    const [program, ...parameters] = service.argv;
    this.#process = spawn(program, parameters, {
      env: service.environment,
      stdio: ['ignore', 'inherit', 'inherit'],
      // Ctrl-C goes to all processes of the terminal: here the order of their ends matters.
      detached: true,
    });
    this.ended = this.#end();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  letGo(): void {
    this.#process.unref();
  }

  #end(): Promise<End> {
    return new Promise<End>((resolve) => {
      this.#process.once('error', (error) => {
        resolve({ exitCode: null, text: `could not be started (${error.message})` });
      });
      this.#process.once('exit', (exitCode, signal) => {
        const how = exitCode === null ? `was ended by ${signal ?? ''}` : `ended with ${exitCode}`;
        resolve({ exitCode, text: how });
      });
    });
  }

  protected signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }
}
