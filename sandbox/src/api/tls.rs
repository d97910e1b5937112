//! The certificate authority and the server certificate.

use std::{net::IpAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::ApiError;

/// A certificate authority with one server certificate, as PEM texts, so that a restart keeps them.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Tls {
    /// The authority's certificate: what clients trust.
    pub ca: String,
    /// The server's certificate.
    pub cert: String,
    /// The server's private key.
    pub key: String,
    /// A certificate for the same key that ends within days; empty in what an earlier version has kept.
    #[serde(default)]
    pub ending: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Makes an authority and a server certificate for these addresses and names.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn generate(addresses: &[IpAddr], names: &[&str]) -> Result<Self, ApiError> {
        let ca_key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "k3s-server-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca = params.self_signed(&ca_key)?;
        let issuer = Issuer::new(params, ca_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "k3s");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        for address in addresses {
            params.subject_alt_names.push(SanType::IpAddress(*address));
        }
        for name in names {
            params
                .subject_alt_names
                .push(SanType::DnsName((*name).try_into()?));
        }
        let cert = params.signed_by(&key, &issuer)?;
        let soon = jiff::Zoned::now().date() + jiff::Span::new().days(4);
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        params.not_after =
            rcgen::date_time_ymd(soon.year().into(), part(soon.month()), part(soon.day()));
        let ending = params.signed_by(&key, &issuer)?;
        Ok(Self {
            ending: ending.pem(),
            ca: ca.pem(),
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }

    /// What turns a TCP stream into a TLS one.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, ApiError> {
        self.with(&self.cert)
    }

    /// The same with the certificate that ends within days, where there is one.
    pub(crate) fn ending_acceptor(&self) -> Result<Option<TlsAcceptor>, ApiError> {
        if self.ending.is_empty() {
            return Ok(None);
        }
        self.with(&self.ending).map(Some)
    }

    fn with(&self, cert: &str) -> Result<TlsAcceptor, ApiError> {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ApiError::Pem(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| ApiError::Pem(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
