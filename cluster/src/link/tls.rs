//! Mutual TLS 1.3 between nodes from the cluster key alone.
//!
//! The key of the certificate authority is derived from the cluster key, so every process has the same authority and
//! issues itself a fresh certificate at start. The certificate binds a link to one name; who holds the key can be any.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, CertificateError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::name::ProcessName;
use crate::key::{ClusterKey, hex};

/// A dialler knows an address, not yet a name: every certificate carries this one.
const SERVER_NAME: &str = "link.holdline.internal";
/// The node's name is the URI `holdline:<id>#<boot>`.
const NAME_URI: &str = "holdline:";
/// Protocol version of the links.
const ALPN: &[u8] = b"holdline/1";
/// A connection that has not proven its key by then is closed.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// rustls reads 4 KiB at a time; a buffer below it saves the system calls.
const TCP_BUFFER: usize = 64 * 1024;
/// RFC 8410 §7: PKCS#8 v1 around an Ed25519 seed; any 32 bytes are a valid key.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

pub(super) type Tls = TlsStream<BufReader<TcpStream>>;

/// Both ends' TLS, and what else links derive from the key. Costs some tens of milliseconds: make it once.
#[derive(Clone)]
pub struct LinkTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    fingerprint: Arc<str>,
    cookie: Arc<str>,
}

/// Why a handshake failed, in words for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection was not made.
    #[error("{0}")]
    Connect(io::Error),
    /// It went silent.
    #[error("no TLS handshake within {} s", HANDSHAKE_MAX.as_secs())]
    Timeout,
    /// We do not accept its key.
    #[error(
        "refused: its certificate is not from our cluster key (ours is {0}); is the cluster key the same on both nodes?"
    )]
    TheirKey(Arc<str>),
    /// It does not accept ours.
    #[error(
        "it refused us: its cluster key is not ours (ours is {0}); is the cluster key the same on both nodes?"
    )]
    OurKey(Arc<str>),
    /// It speaks another protocol version.
    #[error("it does not speak our link protocol ({})", String::from_utf8_lossy(ALPN))]
    Version,
    /// Its certificate is good but names no node.
    #[error("its certificate names no node")]
    Nameless,
    /// It closed the connection before saying a word.
    #[error("closed without a word")]
    Closed,
    /// Something else.
    #[error("TLS handshake failed: {0}")]
    Tls(io::Error),
}

impl LinkTls {
    /// Certificates for the process `node` from the cluster's key.
    pub fn new(
        key: &ClusterKey,
        node: &ProcessName,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let fingerprint = key.fingerprint();
        let ca_key = authority_key(key)?;
        // The fingerprint in the name makes a wrong key an unknown issuer, not a bad signature.
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.distinguished_name.push(DnType::CommonName, format!("holdline cluster {fingerprint}"));
        let root = ca.self_signed(&ca_key)?.der().clone();

        let leaf_key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let mut leaf = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        leaf.subject_alt_names.push(SanType::URI(format!("{NAME_URI}{node}").try_into()?));
        leaf.distinguished_name.push(DnType::CommonName, node.to_string());
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let chain = vec![leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key))?.der().clone()];
        let private = || PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into());

        let mut roots = rustls::RootCertStore::empty();
        roots.add(root)?;
        let roots = Arc::new(roots);
        // Named, so that another provider linked into the program cannot confuse it.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = &[&rustls::version::TLS13];
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), private())?;
        // No resumption: every link proves its key.
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![ALPN.to_vec()];
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private())?;
        client.resumption = rustls::client::Resumption::disabled();
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
            fingerprint: fingerprint.into(),
            cookie: hex(&key.derive(b"ractor cookie")).into(),
        })
    }

    /// The cookie of `ractor_cluster`'s own authentication.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The accepting side. Call it in a task of its own per connection, behind a cap.
    pub(super) async fn accept(&self, tcp: TcpStream) -> Result<(Tls, ProcessName), HandshakeError> {
        self.judge(tokio::time::timeout(HANDSHAKE_MAX, async {
            tcp.set_nodelay(true)?;
            let mut tls = self.acceptor.accept(BufReader::with_capacity(TCP_BUFFER, tcp)).await?;
            // In TLS 1.3 a client is done before the server has judged it: this byte says "accepted".
            tls.write_all(&[1]).await?;
            tls.flush().await?;
            io::Result::Ok(TlsStream::from(tls))
        }))
        .await
    }

    /// The dialling side, over a connection made.
    pub(super) async fn connect(&self, tcp: TcpStream) -> Result<(Tls, ProcessName), HandshakeError> {
        self.judge(tokio::time::timeout(HANDSHAKE_MAX, async {
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from(SERVER_NAME).expect("the shared server name is a valid DNS name");
            let mut tls = self.connector.connect(name, BufReader::with_capacity(TCP_BUFFER, tcp)).await?;
            tls.read_u8().await?;
            io::Result::Ok(TlsStream::from(tls))
        }))
        .await
    }

    async fn judge(
        &self,
        handshake: impl Future<Output = Result<io::Result<Tls>, tokio::time::error::Elapsed>>,
    ) -> Result<(Tls, ProcessName), HandshakeError> {
        let tls =
            handshake.await.map_err(|_| HandshakeError::Timeout)?.map_err(|error| self.explain(error))?;
        let name = peer_name(&tls).ok_or(HandshakeError::Nameless)?;
        Ok((tls, name))
    }

    fn explain(&self, error: io::Error) -> HandshakeError {
        use AlertDescription as Alert;
        use CertificateError as Certificate;
        let fingerprint = || Arc::clone(&self.fingerprint);
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(
                Certificate::UnknownIssuer | Certificate::BadSignature,
            )) => HandshakeError::TheirKey(fingerprint()),
            Some(rustls::Error::AlertReceived(
                Alert::UnknownCA | Alert::DecryptError | Alert::BadCertificate,
            )) => HandshakeError::OurKey(fingerprint()),
            Some(
                rustls::Error::NoApplicationProtocol
                | rustls::Error::AlertReceived(Alert::NoApplicationProtocol),
            ) => HandshakeError::Version,
            None if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
            {
                HandshakeError::Closed
            }
            _ => HandshakeError::Tls(error),
        }
    }
}

impl std::fmt::Debug for LinkTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkTls({})", self.fingerprint)
    }
}

fn authority_key(key: &ClusterKey) -> Result<KeyPair, rcgen::Error> {
    let mut pkcs8 = ED25519_PKCS8.to_vec();
    pkcs8.extend(key.derive(b"certificate authority"));
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &rcgen::PKCS_ED25519)
}

/// The name in the verified certificate.
fn peer_name(tls: &Tls) -> Option<ProcessName> {
    let leaf = tls.get_ref().1.peer_certificates()?.first()?;
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    leaf.valid_uri_names().find_map(|uri| uri.strip_prefix(NAME_URI)).and_then(|name| name.parse().ok())
}
