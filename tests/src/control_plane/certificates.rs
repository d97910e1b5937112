//! The certificates, keys and tokens of one control plane.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// An authority of its own, and what it signed.
pub(super) struct Authority {
    /// Its certificate.
    pub(super) ca: String,
    /// Certificate and key of the API server.
    server: (String, String),
    /// Certificate and key of an administrator.
    pub(super) admin: (String, String),
    /// Certificate and key of the cluster's own programs, whose requests nobody counts.
    pub(super) programs: (String, String),
    /// Private and public key that sign and prove the tokens of service accounts.
    service_account: (String, String),
    /// The token of a user without any right.
    pub(super) eve: String,
    tokens: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = named("test-ca", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let mut params = named("kube-apiserver", None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::DnsName("localhost".try_into()?),
        ];
        let places = super::network::Place::all().map(|place| place.control_plane().into());
        let places = places.map(SanType::IpAddress);
        params.subject_alt_names.extend(places);
        let server = signed(params, &issuer)?;

        let mut params = named("test-admin", Some("system:masters"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let admin = signed(params, &issuer)?;
        let mut params = named(super::PROGRAMS, Some("system:masters"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let programs = signed(params, &issuer)?;

        let key = KeyPair::generate()?;
        // As unguessable as a key, since it is one.
        let eve = hex(&KeyPair::generate()?.serialize_der());
        Ok(Self {
            ca,
            server,
            admin,
            programs,
            service_account: (key.serialize_pem(), key.public_key_pem()),
            tokens: format!("{eve},eve,eve,\"team\"\n"),
            eve,
        })
    }

    /// File names and what is in them.
    pub(super) fn files(&self) -> [(&'static str, &str); 6] {
        [
            ("ca.crt", &self.ca),
            ("server.crt", &self.server.0),
            ("server.key", &self.server.1),
            ("service-account.key", &self.service_account.0),
            ("service-account.pub", &self.service_account.1),
            ("tokens.csv", &self.tokens),
        ]
    }
}

fn named(name: &str, organisation: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organisation);
    }
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params
}

fn signed(
    params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, issuer)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// What a kubeconfig holds instead of a file.
pub(super) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in bytes.iter().rev().take(32) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
