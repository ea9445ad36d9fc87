// Command bench measures what a request costs in the real sidecar, beside the least that other servers do for one: a bare fasthttp
// hello, a fasthttp proxy, nginx. `make bench-ingress` runs it.
//
// Every server is a process of its own on one core; what sends the requests, and the application behind the proxies, run on another.
// Servers are measured in turns, so that whatever else the machine does hits all alike, and what counts is the processor time that
// the kernel has accounted to the process, background work, garbage collection and system calls included. A row passes where the upper 95 % bound of
// the median of the paired ratios is within what it must be. The bound is an order statistic of the ratios (Conover, Practical
// Nonparametric Statistics, section 3.2), which supposes nothing of their distribution.
//
// It needs Linux: for the accounting, and for pinning.
package main
