//! What a PKCS#12 profile means: ciphers, derivation of keys, MAC.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, InnerIvInit as _, KeyInit as _};
use der::asn1::ObjectIdentifier;
use der::{Encode as _, Tag};
use sealway_api::{Password, Pkcs12Profile};

use super::{Salts, StoreFault, element, sequence, utf16};

const PBE_SHA1_RC2_40: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6");
const PBE_SHA1_3DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
const PBMAC1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14");
const HMAC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");
const SHA1_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Of every derivation but that of the old MAC.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(2048).expect("not zero");
/// Length of a PBMAC1 key.
const MAC_KEY_LENGTH: u8 = 32;
const OLD_SALT_LENGTH: usize = 8;
const SALT_LENGTH: usize = 16;
/// RFC 7292 appendix B.3: what a derived key is for.
const FOR_ENCRYPTION: u8 = 1;
const FOR_VECTOR: u8 = 2;
const FOR_MAC: u8 = 3;

/// See [`Pkcs12Profile`].
pub(super) struct Algorithms {
    /// Of certificates.
    pub(super) encryption: Encryption,
    /// Of the key.
    pub(super) encryption_of_key: Encryption,
    /// Of the MAC.
    pub(super) salt_length: usize,
    mac: Mac,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    Rc2,
    TripleDes,
    Aes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mac {
    Sha1,
    Sha256,
    Pbmac1,
}

impl Algorithms {
    pub(super) fn of(profile: &Pkcs12Profile) -> Self {
        let (encryption, encryption_of_key, mac, salt_length) = match profile {
            Pkcs12Profile::LegacyDes => (Encryption::TripleDes, Encryption::TripleDes, Mac::Sha1, OLD_SALT_LENGTH),
            Pkcs12Profile::Modern2023 => (Encryption::Aes, Encryption::Aes, Mac::Sha256, SALT_LENGTH),
            Pkcs12Profile::Modern2026 => (Encryption::Aes, Encryption::Aes, Mac::Pbmac1, SALT_LENGTH),
            Pkcs12Profile::LegacyRc2 | Pkcs12Profile::Other(_) => {
                (Encryption::Rc2, Encryption::TripleDes, Mac::Sha1, OLD_SALT_LENGTH)
            }
        };
        Self {
            encryption,
            encryption_of_key,
            salt_length,
            mac,
        }
    }

    /// From the file into MacData.
    pub(super) fn path_to_salt(&self) -> &'static [usize] {
        match self.mac {
            Mac::Sha1 | Mac::Sha256 => &[2, 1],
            Mac::Pbmac1 => &[2, 0, 0, 1, 0, 1, 0],
        }
    }
}

impl Encryption {
    pub(super) fn identifier(self) -> ObjectIdentifier {
        match self {
            Self::Rc2 => PBE_SHA1_RC2_40,
            Self::TripleDes => PBE_SHA1_3DES,
            Self::Aes => PBES2,
        }
    }
}

/// AlgorithmIdentifier and ciphertext.
pub(super) fn encrypt(
    encryption: Encryption,
    plain: &[u8],
    password: &Password,
    salts: &mut Salts<'_>,
) -> Result<(Vec<u8>, Vec<u8>), StoreFault> {
    let (parameters, encrypted) = match encryption {
        Encryption::Rc2 | Encryption::TripleDes => old_encrypt(encryption, plain, password, salts)?,
        Encryption::Aes => aes_encrypt(plain, password, salts)?,
    };
    let algorithm = sequence(&[&encryption.identifier().to_der()?, &parameters])?;
    Ok((algorithm, encrypted))
}

/// RFC 7292 appendix C.
fn old_encrypt(
    encryption: Encryption,
    plain: &[u8],
    password: &Password,
    salts: &mut Salts<'_>,
) -> Result<(Vec<u8>, Vec<u8>), StoreFault> {
    let mut salt = [0; OLD_SALT_LENGTH];
    salts(&mut salt)?;
    let derived = |purpose, size| derive(&SHA1_FOR_LEGACY_USE_ONLY, purpose, password, &salt, ITERATIONS, size);
    let vector = derived(FOR_VECTOR, 8);
    // Fails only on lengths, which are right.
    let encrypted = if encryption == Encryption::Rc2 {
        rc2::Rc2::new_from_slice(&derived(FOR_ENCRYPTION, 5))
            .and_then(|cipher| cbc::Encryptor::inner_iv_slice_init(cipher, &vector))
            .map(|cipher| cipher.encrypt_padded_vec::<Pkcs7>(plain))
    } else {
        des::TdesEde3::new_from_slice(&derived(FOR_ENCRYPTION, 24))
            .and_then(|cipher| cbc::Encryptor::inner_iv_slice_init(cipher, &vector))
            .map(|cipher| cipher.encrypt_padded_vec::<Pkcs7>(plain))
    };
    let parameters = sequence(&[&element(Tag::OctetString, &[&salt])?, &ITERATIONS.get().to_der()?])?;
    Ok((parameters, encrypted.map_err(|_| StoreFault::Crypto)?))
}

/// RFC 8018 section 6.2; the password is UTF-8 here.
fn aes_encrypt(plain: &[u8], password: &Password, salts: &mut Salts<'_>) -> Result<(Vec<u8>, Vec<u8>), StoreFault> {
    let (mut salt, mut vector) = ([0; SALT_LENGTH], [0; 16]);
    salts(&mut salt)?;
    salts(&mut vector)?;
    let mut key = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        &salt,
        password.expose().as_bytes(),
        &mut key,
    );
    let mut encrypted = plain.to_vec();
    PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key)?)?
        .less_safe_encrypt(&mut encrypted, EncryptionContext::Iv128(FixedLength::from(vector)))?;
    let scheme = sequence(&[&AES_256_CBC.to_der()?, &element(Tag::OctetString, &[&vector])?])?;
    Ok((sequence(&[&pbkdf2_identifier(&salt, None)?, &scheme])?, encrypted))
}

/// AlgorithmIdentifier of PBKDF2 with HMAC-SHA-256.
fn pbkdf2_identifier(salt: &[u8], key_length: Option<u8>) -> Result<Vec<u8>, StoreFault> {
    let key_length = key_length.map(|length| length.to_der()).transpose()?.unwrap_or_default();
    let parameters = sequence(&[
        &element(Tag::OctetString, &[salt])?,
        &ITERATIONS.get().to_der()?,
        &key_length,
        &sequence(&[&HMAC_SHA256.to_der()?])?,
    ])?;
    sequence(&[&PBKDF2.to_der()?, &parameters])
}

/// MacData (RFC 7292 section 4; RFC 9579 for PBMAC1, whose own salt and count are elsewhere and mean nothing here).
pub(super) fn mac_data(algorithms: &Algorithms, content: &[u8], password: &Password, salt: &[u8]) -> Result<Vec<u8>, StoreFault> {
    let once = NonZeroU32::MIN;
    let (algorithm, mac, salt, count) = match algorithms.mac {
        Mac::Sha1 => {
            let key = derive(
                &SHA1_FOR_LEGACY_USE_ONLY,
                FOR_MAC,
                password,
                salt,
                once,
                digest::SHA1_OUTPUT_LEN,
            );
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), content);
            // 1 is the default, which DER leaves out.
            (sequence(&[&SHA1_IDENTIFIER.to_der()?])?, mac, salt, Vec::new())
        }
        Mac::Sha256 => {
            let key = derive(&SHA256, FOR_MAC, password, salt, ITERATIONS, digest::SHA256_OUTPUT_LEN);
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content);
            (
                sequence(&[&SHA256_IDENTIFIER.to_der()?])?,
                mac,
                salt,
                ITERATIONS.get().to_der()?,
            )
        }
        Mac::Pbmac1 => {
            let mut key = [0; MAC_KEY_LENGTH as usize];
            pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                ITERATIONS,
                salt,
                password.expose().as_bytes(),
                &mut key,
            );
            let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content);
            let derivation = pbkdf2_identifier(salt, Some(MAC_KEY_LENGTH))?;
            let parameters = sequence(&[&derivation, &sequence(&[&HMAC_SHA256.to_der()?])?])?;
            (
                sequence(&[&PBMAC1.to_der()?, &parameters])?,
                mac,
                [].as_slice(),
                0_u8.to_der()?,
            )
        }
    };
    let digest_info = sequence(&[&algorithm, &element(Tag::OctetString, &[mac.as_ref()])?])?;
    sequence(&[&digest_info, &element(Tag::OctetString, &[salt])?, &count])
}

/// RFC 7292 appendix B.2; the password is UTF-16 with a terminator.
fn derive(
    hash: &'static digest::Algorithm,
    purpose: u8,
    password: &Password,
    salt: &[u8],
    iterations: NonZeroU32,
    size: usize,
) -> Vec<u8> {
    /// Of both hashes.
    const BLOCK: usize = 64;
    let password = [utf16(password.expose()), vec![0, 0]].concat();
    let whole_blocks = |part: &[u8]| -> Vec<u8> {
        let length = part.len().div_ceil(BLOCK) * BLOCK;
        part.iter().copied().cycle().take(length).collect()
    };
    let mut input = [whole_blocks(salt), whole_blocks(&password)].concat();
    let mut derived = Vec::new();
    loop {
        let mut hashed = digest(hash, &[&[purpose; BLOCK], input.as_slice()].concat());
        for _ in 1..iterations.get() {
            hashed = digest(hash, hashed.as_ref());
        }
        derived.extend(hashed.as_ref());
        if derived.len() >= size {
            derived.truncate(size);
            return derived;
        }
        let addend: Vec<u8> = hashed.as_ref().iter().copied().cycle().take(BLOCK).collect();
        for block in input.chunks_exact_mut(BLOCK) {
            let mut sum = 1_u16;
            for (byte, add) in block.iter_mut().zip(&addend).rev() {
                sum += u16::from(*byte) + u16::from(*add);
                *byte = (sum & 0xff) as u8;
                sum >>= 8;
            }
        }
    }
}
