/* What a TLS ClientHello says in clear. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_NAME_SIZE = 256, TLS_ALPN_SIZE = 64 };

struct tls_hello {
	char name[TLS_NAME_SIZE]; /* server_name, lower case; "" none */
	char alpn[TLS_ALPN_SIZE]; /* the first protocol offered; "" none */
	bool encrypted_hello;     /* ECH: the name may be a front for another */
};

enum tls_result { TLS_HELLO, TLS_MORE, TLS_MALFORMED };

/*
 * The hello in the first @len bytes of a connection, in as many records as it
 * was cut into. TLS_MORE: it is not complete. A name that is no host name, or
 * given twice, is malformed: the server might read it otherwise.
 */
enum tls_result tls_hello_parse(const uint8_t *bytes, size_t len, struct tls_hello *ret);
