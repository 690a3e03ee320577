//! The few algorithms that a server of our own needs to talk to the client: X25519 and `chacha20-poly1305@openssh.com`.
//! Plain and slow, with fixed secrets: for tests, where nothing is secret.
#![expect(clippy::indexing_slicing, reason = "fixed sizes, as the specifications write them")]

/// An element of the field of X25519: sixteen limbs of sixteen bits.
type Field = [i64; 16];

fn carry(o: &mut Field) {
    for i in 0..16 {
        o[i] += 1 << 16;
        let c = o[i] >> 16;
        if i < 15 {
            o[i + 1] += c - 1;
        } else {
            o[0] += 38 * (c - 1);
        }
        o[i] -= c << 16;
    }
}

fn swap_if(p: &mut Field, q: &mut Field, bit: i64) {
    if bit == 1 {
        std::mem::swap(p, q);
    }
}

fn unpack(n: &[u8; 32]) -> Field {
    let mut o = [0; 16];
    for i in 0..16 {
        o[i] = i64::from(n[2 * i]) + (i64::from(n[2 * i + 1]) << 8);
    }
    o[15] &= 0x7fff;
    o
}

fn pack(n: &Field) -> [u8; 32] {
    let mut t = *n;
    for _ in 0..3 {
        carry(&mut t);
    }
    for _ in 0..2 {
        let mut m = [0; 16];
        m[0] = t[0] - 0xffed;
        for i in 1..15 {
            m[i] = t[i] - 0xffff - ((m[i - 1] >> 16) & 1);
            m[i - 1] &= 0xffff;
        }
        m[15] = t[15] - 0x7fff - ((m[14] >> 16) & 1);
        let borrow = (m[15] >> 16) & 1;
        m[14] &= 0xffff;
        swap_if(&mut t, &mut m, 1 - borrow);
    }
    let mut o = [0; 32];
    for i in 0..16 {
        o[2 * i..2 * i + 2].copy_from_slice(&u16::try_from(t[i]).unwrap().to_le_bytes());
    }
    o
}

fn add(a: &Field, b: &Field) -> Field {
    std::array::from_fn(|i| a[i] + b[i])
}

fn sub(a: &Field, b: &Field) -> Field {
    std::array::from_fn(|i| a[i] - b[i])
}

fn mul(a: &Field, b: &Field) -> Field {
    let mut t = [0; 31];
    for i in 0..16 {
        for j in 0..16 {
            t[i + j] += a[i] * b[j];
        }
    }
    let mut o: Field = std::array::from_fn(|i| if i < 15 { t[i] + 38 * t[i + 16] } else { t[i] });
    carry(&mut o);
    carry(&mut o);
    o
}

fn invert(i: &Field) -> Field {
    let mut c = *i;
    for a in (0..=253).rev() {
        c = mul(&c, &c);
        if a != 2 && a != 4 {
            c = mul(&c, i);
        }
    }
    c
}

/// X25519 (RFC 7748).
pub(super) fn x25519(scalar: &[u8; 32], point: &[u8; 32]) -> [u8; 32] {
    let mut z = *scalar;
    z[31] = (z[31] & 127) | 64;
    z[0] &= 248;
    let x = unpack(point);
    let (mut a, mut b, mut c, mut d) = ([0; 16], x, [0; 16], [0; 16]);
    let mut constant = [0; 16];
    (a[0], d[0], constant[0], constant[1]) = (1, 1, 0xdb41, 1);
    for i in (0..255).rev() {
        let bit = i64::from((z[i >> 3] >> (i & 7)) & 1);
        swap_if(&mut a, &mut b, bit);
        swap_if(&mut c, &mut d, bit);
        let e = add(&a, &c);
        a = sub(&a, &c);
        c = add(&b, &d);
        b = sub(&b, &d);
        d = mul(&e, &e);
        let f = mul(&a, &a);
        a = mul(&c, &a);
        c = mul(&b, &e);
        let e = add(&a, &c);
        a = sub(&a, &c);
        b = mul(&a, &a);
        c = sub(&d, &f);
        a = add(&mul(&c, &constant), &d);
        c = mul(&c, &a);
        a = mul(&d, &f);
        d = mul(&b, &x);
        b = mul(&e, &e);
        swap_if(&mut a, &mut b, bit);
        swap_if(&mut c, &mut d, bit);
    }
    pack(&mul(&a, &invert(&c)))
}

fn quarter(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(16);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(12);
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(8);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(7);
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// ChaCha20 with the nonce and the counter of 64 bits that SSH uses, over `data` in place.
pub(super) fn chacha20(key: &[u8], sequence: u32, mut block: u64, data: &mut [u8]) {
    for chunk in data.chunks_mut(64) {
        let mut state = [0; 16];
        for (at, constant) in b"expand 32-byte k".chunks(4).enumerate() {
            state[at] = word(constant);
        }
        for (at, part) in key.chunks(4).enumerate() {
            state[4 + at] = word(part);
        }
        state[12] = (block & 0xffff_ffff) as u32;
        state[13] = (block >> 32) as u32;
        // The nonce is the sequence number as 64 bits, most significant first, read as two little words.
        state[15] = sequence.swap_bytes();
        let mut mixed = state;
        for _ in 0..10 {
            for (a, b, c, d) in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)] {
                quarter(&mut mixed, a, b, c, d);
            }
            for (a, b, c, d) in [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)] {
                quarter(&mut mixed, a, b, c, d);
            }
        }
        for (at, byte) in chunk.iter_mut().enumerate() {
            *byte ^= mixed[at / 4].wrapping_add(state[at / 4]).to_le_bytes()[at % 4];
        }
        block += 1;
    }
}

/// Poly1305 (RFC 8439), on five limbs of 26 bits.
pub(super) fn poly1305(key: &[u8], text: &[u8]) -> [u8; 16] {
    const LIMB: u64 = 0x3ff_ffff;
    let limbs = |bytes: &[u8], top: u64| -> [u64; 5] {
        let wide = u128::from_le_bytes(bytes.try_into().unwrap());
        let limb = |at: u32| u64::try_from((wide >> (26 * at)) & u128::from(LIMB)).unwrap();
        let mut limbs = [limb(0), limb(1), limb(2), limb(3), limb(4)];
        limbs[4] |= top;
        limbs
    };
    let mask = 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff_u128;
    let clamped = u128::from_le_bytes(key[..16].try_into().unwrap()) & mask;
    let r = limbs(&clamped.to_le_bytes(), 0);
    let mut h = [0u64; 5];
    for chunk in text.chunks(16) {
        let mut block = [0; 17];
        block[..chunk.len()].copy_from_slice(chunk);
        block[chunk.len()] = 1;
        let m = limbs(&block[..16], u64::from(block[16]) << 24);
        for i in 0..5 {
            h[i] += m[i];
        }
        let mut product = [0u64; 5];
        for i in 0..5 {
            for j in 0..5 {
                let wrap = if i + j >= 5 { 5 } else { 1 };
                product[(i + j) % 5] += h[i] * r[j] * wrap;
            }
        }
        let mut over = 0;
        for i in 0..5 {
            let sum = product[i] + over;
            h[i] = sum & LIMB;
            over = sum >> 26;
        }
        h[0] += over * 5;
        h[1] += h[0] >> 26;
        h[0] &= LIMB;
    }
    finish(h, u128::from_le_bytes(key[16..32].try_into().unwrap()))
}

fn finish(mut h: [u64; 5], pad: u128) -> [u8; 16] {
    const LIMB: u64 = 0x3ff_ffff;
    for _ in 0..2 {
        for i in 0..4 {
            h[i + 1] += h[i] >> 26;
            h[i] &= LIMB;
        }
        h[0] += (h[4] >> 26) * 5;
        h[4] &= LIMB;
    }
    h[1] += h[0] >> 26;
    h[0] &= LIMB;
    // At or above 2^130 - 5 the prime is taken off once.
    let mut g = h;
    g[0] += 5;
    for i in 0..4 {
        g[i + 1] += g[i] >> 26;
        g[i] &= LIMB;
    }
    let reduced = if g[4] >> 26 == 1 { g } else { h };
    let low: u128 =
        (0..5).fold(0, |sum: u128, i| sum.wrapping_add(u128::from(reduced[i] & LIMB) << (26 * i)));
    low.wrapping_add(pad).to_le_bytes()
}
