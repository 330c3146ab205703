/**
 * What operators tell a service's process: which hosts it shall serve.
 *
 * Rule: every request may be repeated; the second time changes nothing.
 */
import { Controller, Inject } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { ServedHosts } from './served-hosts.js';

@Controller()
export class HostsController {
  constructor(@Inject(ServedHosts) private readonly hosts: ServedHosts) {}

  /** Answers the hosts that are served now. */
  @MessagePattern('serve')
  serve(@Payload() data: unknown): Promise<string[]> {
    return this.change(() => this.hosts.serve(hostOf(data)));
  }

  /** Answers the hosts that are still served. */
  @MessagePattern('release')
  release(@Payload() data: unknown): Promise<string[]> {
    return this.change(() => this.hosts.release(hostOf(data)));
  }

  private async change(work: () => Promise<void>): Promise<string[]> {
    try {
      await work();
    } catch (e) {
      throw new RpcException((e as Error).message);
    }
    return this.hosts.names();
  }
}

/** `{ "host": NAME }`; anything else is no name of a host and refused as such. */
const hostOf = (data: unknown): string => String((data as { host?: unknown } | null)?.host ?? '');
