/**
 * Nest's transport for a service's process, on the one NATS connection that its actors use.
 *
 * Words: *frames* go straight from the connection to the actors' inboxes; *control requests* are what people and tools ask
 * a service, as JSON, and Nest dispatches them to `@MessagePattern` handlers.
 * Rule: answers go to this lab's control inbox and nowhere else, wherever the question wants them.
 */
import type { Msg, Subscription } from '@nats-io/transport-node';
import { BaseRpcContext, type CustomTransportStrategy, Server } from '@nestjs/microservices';
import { controlInbox, controlSubject } from './nats-subjects.js';
import type { NatsBus } from './nats-bus.js';

type Answer = { readonly response?: unknown; readonly err?: unknown };

export class LabNatsServer extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('vfiolab');
  /** Control requests that were not answered, because of where the answer was wanted. */
  refused = 0;
  private readonly subscriptions: Subscription[] = [];

  constructor(
    private readonly bus: NatsBus,
    private readonly service: string,
  ) {
    super();
  }

  listen(callback: (error?: unknown) => void): void {
    for (const [pattern, handler] of this.messageHandlers) {
      const subject = controlSubject(this.bus.scope, this.service, pattern);
      const onMessage = (error: Error | null, msg: Msg): void => {
        if (error) return this.handleError(error.message);
        void this.answer(msg, (data, context) => handler(data, context));
      };
      this.subscriptions.push(this.bus.connection.subscribe(subject, { callback: onMessage }));
    }
    this.bus.connection.flush().then(() => callback(), callback);
  }

  private async answer(msg: Msg, handle: (data: unknown, context: BaseRpcContext) => Promise<unknown>): Promise<void> {
    const { reply } = msg;
    if (!reply?.startsWith(`${controlInbox(this.bus.scope)}.`)) {
      this.refused++;
      return;
    }
    const context = new BaseRpcContext([msg.subject]);
    const respond = (packet: Answer & { isDisposed?: boolean }): void => {
      if ('response' in packet || 'err' in packet) this.bus.connection.publish(reply, encode(packet));
    };
    try {
      const data: unknown = msg.data.length === 0 ? undefined : msg.json();
      await this.handleRequest(context, async () => this.transformToObservable(await handle(data, context)), respond);
    } catch (e) {
      respond({ err: (e as Error).message });
    }
  }

  close(): void {
    for (const s of this.subscriptions.splice(0)) if (!this.bus.connection.isClosed()) s.unsubscribe();
  }

  on(): never {
    throw new Error('this transport has no events of its own: NatsBus takes onEvent');
  }

  unwrap<T>(): T {
    return this.bus.connection as T;
  }
}

/** A reply that JSON cannot hold is answered with what is wrong with it: no answer at all would hang the asker. */
function encode({ response, err }: Answer): string {
  try {
    return JSON.stringify(err === undefined ? { response: response ?? null } : { err });
  } catch (e) {
    return JSON.stringify({ err: `the answer is not JSON: ${(e as Error).message}` });
  }
}
